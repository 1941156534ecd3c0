"""The journal: torn lines, damage, thinning; and that replaying it gives the state that folding live gave."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heretic_tui import events as ev
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.event_records import read_event
from heretic_tui.figures import Figure
from heretic_tui.layer_figures import DirectionFigures, Effect, FirstTokens, Histogram, LayerFigures
from heretic_tui.run.journal import Journal, Tail, read_events, read_journal
from heretic_tui.run.state import RunState
from tests.support import fake_run
from tests.support.commands import mounted
from tests.support.journals import EVENTS, opened, read_back, write


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(cut=st.integers(0, 3000))
def test_any_torn_journal_reads_as_its_whole_lines_and_goes_on(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "events.jsonl"
    path.unlink(missing_ok=True)
    write(path, EVENTS)
    data = path.read_bytes()[:cut]
    path.write_bytes(data)
    whole = data.count(b"\n")
    assert [r["seq"] for r in read_journal(path)] == list(range(whole))
    write(path, [opened(resumed=True)])
    records = list(read_journal(path))
    assert [r["seq"] for r in records] == list(range(whole + 1))
    assert records[-1]["type"] == "run_opened"


def test_damage_in_the_middle_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, EVENTS)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b'{"seq": 2, "ty\n', *lines[3:]]))
    with pytest.raises(UsageError, match="damaged at line 3"):
        list(read_journal(path))
    with pytest.raises(UsageError, match="damaged at line 3"):
        Journal(path)


def test_high_rate_events_are_written_once_a_second_at_most(tmp_path: Path) -> None:
    now = [100.0]
    journal = Journal(tmp_path / "e", clock=lambda: now[0])
    for step in range(30):
        now[0] = 100 + step / 10
        journal.append(ev.Progress(stage="x", done=step, total=30))
        journal.append(ev.Notice(text=str(step)))
    kinds = [r["type"] for r in read_journal(tmp_path / "e")]
    assert kinds.count("progress") == 3
    assert kinds.count("notice") == 30


def test_every_kind_of_event_survives_the_journal() -> None:
    rows = [
        LayerFigures(index=0, geometry={"|r|": 0.0}, raises=(), lowers=()),
        LayerFigures(index=1, geometry={"|r|": None}, effects={"add": Effect(0.5, None)}),
    ]
    figures = DirectionFigures(0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
    whole: dict[str, dict[str, object]] = {
        "layers_analysed": {"layers": rows, "refusal": FirstTokens((("I", 0.5, 0.25),))},
        "directions_found": {"layers": [figures, figures], "histograms": [Histogram(0.5, 1.5, [1], [2])]},
    }
    for cls in ev.KINDS.values():
        values: dict[str, object] = {}
        for field in fields(cls):
            kind = str(field.type).split(" ")[0].split("[")[0]
            plain = {"str": "x", "int": 1, "float": 0.5, "bool": True, "dict": {}, "list": []}
            values[field.name] = plain.get(kind)
        make: Callable[..., ev.Event] = cls
        event = make(**{**values, **whole.get(cls.type, {})})
        back = read_back(event)
        assert back == event
        assert (back.time, back.past) == (0.5, False)
    assert read_event({"type": "of a later version"}) is None


def test_a_journal_of_the_time_when_one_trial_ran_at_once_is_read(tmp_path: Path) -> None:
    records = [event.to_json() for event in EVENTS]
    records += [
        {"type": "trial_started", "number": 9, "parameters": {}},
        {"type": "measured", "metric": "KL divergence", "value": 0.25},
    ]
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert RunState.replay(read_events(path)).trials[9].measured == {"kl_divergence": 0.25}


def test_figures_of_before_are_read_by_name(tmp_path: Path) -> None:
    records = [
        opened().to_json(),
        {"type": "baseline_measured", "refusals": 91, "prompts": 100},
        {"type": "trial_started", "number": 0, "parameters": {}},
        {"type": "trial_finished", "number": 0, "state": "complete", "kl_divergence": 0.5, "refusals": 3},
        {"type": "trial_started", "number": 1, "parameters": {}},
        {
            "type": "trial_finished", "number": 1, "state": "dominated", "kl_divergence": 0.6, "refusals": None,
            "at_least": 4, "estimate": 14.5,
        },
    ]  # fmt: skip
    del records[0]["figures"]
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    state = RunState.replay(read_events(path))
    assert state.objectives == ("kl_divergence", "refusals")
    assert state.base is not None
    assert state.base.figures == {"kl_divergence": 0.0, "refusals": 91}
    assert state.trials[0].figures == {"kl_divergence": 0.5, "refusals": 3}
    assert state.trials[1].figures == {"kl_divergence": 0.6}
    assert (state.trials[1].at_least, state.trials[1].estimate) == ({"refusals": 4}, {"refusals": 14.5})
    assert [trial.number for trial in state.front()] == [0]


def test_the_front_is_that_of_the_runs_own_objectives() -> None:
    figures = [Figure(name, name, key=name) for name in ("speed", "size", "kl_divergence")]
    state = RunState()
    state.fold(replace(opened(), figures=figures))
    for number, values in enumerate([(1.0, 5.0, 0.0), (2.0, 4.0, 9.0), (3.0, 4.5, 0.0), (0.5, 9.0, 1.0)]):
        found = dict(zip(("speed", "size", "kl_divergence"), values, strict=True))
        state.fold(ev.TrialStarted(number=number, parameters=None))
        state.fold(ev.TrialFinished(number=number, state="complete", figures=found))
    assert state.objectives == ("speed", "size")
    assert [trial.number for trial in state.front()] == [1, 0, 3], "by the second objective"
    assert state.on_front(3)
    assert not state.on_front(2)


KERNEL = {"max_weight": 1.0, "max_weight_position": 2.0, "min_weight": 0.0, "min_weight_distance": 3.0}
# What a record must not be: its type, what of it is another, and what is said.
WRONG: list[tuple[dict[str, object], str]] = [
    ({"number": 1}, "no event: it has no 'type'"),
    ({"type": ["notice"], "text": "x"}, "no event: it has no 'type'"),
    ({"type": "trial_finished", "state": "failed"}, "trial_finished has no 'number'"),
    ({"type": "trial_finished", "number": "1", "state": "failed"}, "'number' of trial_finished cannot be '1'"),
    ({"type": "trial_finished", "number": True, "state": "failed"}, "cannot be True"),
    ({"type": "trial_finished", "number": 1, "state": "complete"}, "a measured trial has no figures"),
    ({"type": "trial_finished", "number": 1, "state": "complete", "kl_divergence": -5, "refusals": 1}, "cannot be -5"),
    (
        {"type": "trial_finished", "number": 1, "state": "complete", "kl_divergence": 1, "refusals": 7, "prompts": 6},
        "7 refusals cannot be, of 6 prompts",
    ),
    (
        {"type": "trial_finished", "number": 1, "state": "dominated", "kl_divergence": 1, "at_least": -3},
        "-3 refusals cannot be",
    ),
    ({"type": "trial_finished", "number": 1, "state": "failed", "seconds": float("inf")}, "cannot be inf"),
    ({"type": "trial_finished", "number": 1, "state": "complete", "figures": {"refusals": 1}}, "has no figures"),
    (
        {"type": "trial_finished", "number": 1, "state": "complete", "figures": {"kl_divergence": -5, "refusals": 1}},
        "a KL divergence cannot be -5",
    ),
    (
        {
            "type": "trial_finished",
            "number": 1,
            "state": "complete",
            "prompts": 6,
            "figures": {"kl_divergence": 1, "refusals": 7},
        },
        "7 refusals cannot be, of 6 prompts",
    ),
    ({**opened().to_json(), "figures": [{"name": "a", "short": "a", "key": "a"}]}, "'figures' lack objectives"),
    (
        {**opened().to_json(), "figures": [{"name": k, "short": k, "key": k, "digits": 10**6} for k in "ab"]},
        "'figures' cannot have 1000000 digits",
    ),
    ({"type": "trial_finished", "number": 10**30, "state": "failed"}, "'number' of trial_finished cannot be 1000"),
    ({"type": "trial_finished", "number": 1, "state": "failed", "stages": {"edit": "long"}}, "'stages.edit'"),
    ({"type": "trial_started", "number": 1, "parameters": {"components": {"a": {"max_weight": 1}}}}, "'parameters'"),
    (
        {"type": "trial_started", "number": 1, "parameters": {"components": {"a": {**KERNEL, "min_weight": []}}}},
        "'param",
    ),
    (
        {"type": "trial_started", "number": 1, "parameters": {"direction_index": "x", "components": {"a": KERNEL}}},
        "'par",
    ),
    ({"type": "directions_found", "layers": [{"cosine": 1.0}]}, "has no 'layers[0].good_norm'"),
    ({**fake_run.directions().to_json(), "ranks": {"clusters": 10**9}}, "hold what is no number of directions"),
    ({**fake_run.directions().to_json(), "rank": 0}, "hold what is no number of directions"),
    ({"type": "layers_analysed", "layers": []}, "'layers' are empty"),
    ({"type": "layers_analysed", "layers": [{"index": 0, "layer": None, "auc": "high"}]}, "'layers[0].auc'"),
    ({"type": "layers_analysed", "layers": [{"index": 0, "layer": None, "auc": 1}]}, "no 'layers[0].auc_low'"),
    (
        {"type": "layers_analysed", "layers": [{"index": 0, "layer": None, "raises": ["I"], "lowers": []}]},
        "'layers[0].raises[0]' of layers_analysed cannot be 'I'",
    ),
    ({"type": "notice", "text": "x", "time": 1e300}, "'time' of notice cannot be 1e"),
]


@pytest.mark.parametrize(("record", "said"), WRONG)
def test_a_record_that_cannot_be_is_damage_and_whoever_follows_sees_the_others(
    tmp_path: Path, record: dict[str, object], said: str
) -> None:
    path = tmp_path / "events.jsonl"
    write(path, EVENTS[:2])
    path.write_bytes(path.read_bytes() + b"\r" + json.dumps(record).encode() + b"\n")
    write(path, EVENTS[2:3])
    with pytest.raises(UsageError, match=r"is damaged at line 3 \(.*" + re.escape(said)):
        list(read_events(path))
    assert Tail(path).take() == EVENTS[:3]


def test_events_keep_their_time_and_what_was_there_at_the_first_look_is_past(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = ev.Notice(text="an hour ago", time=1e9)
    write(path, [first])
    tail = Tail(path)
    assert [(event.time, event.past) for event in tail.take()] == [(1e9, True)]
    assert [event.time for event in read_events(path)] == [1e9]
    write(path, [ev.Notice(text="now")])
    (news,) = tail.take()
    assert not news.past
    # Who opens it again sees all of it as past.
    assert [event.past for event in read_events(path)] == [True, True]


def test_a_long_journal_comes_in_pieces_and_what_lay_there_is_past(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heretic_tui.run.journal.BYTES_AT_ONCE", 300)
    path = tmp_path / "events.jsonl"
    write(path, EVENTS)
    tail = Tail(path)
    taken = [tail.take()]
    write(path, [ev.Notice(text="now")])
    with path.open("ab") as file:
        file.write(b'{"seq": 99, "type": "notice", "te')
    while events := tail.take():
        taken.append(events)
    assert len(taken) > 2
    flat = [event for events in taken for event in events]
    assert flat == [*EVENTS, ev.Notice(text="now")]
    assert [event.past for event in flat] == [True] * len(EVENTS) + [False]
    with path.open("ab") as file:
        file.write(b'xt": "its end"}\n')
    assert tail.take() == [ev.Notice(text="its end")]


def test_a_full_disk_leaves_no_piece_of_a_line(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=8k") as disk:
        journal = Journal(disk / "events.jsonl")

        def fill() -> None:
            for _ in range(100):
                journal.append(ev.Notice(text="x" * 150))

        with pytest.raises(HereticError, match="free some space and resume"):
            fill()
        with pytest.raises(HereticError, match="free some space"):
            journal.append(ev.Notice(text="x" * 4000))
        whole = [event.type for event in read_events(disk / "events.jsonl")]
        assert len(whole) > 10
        assert (disk / "events.jsonl").read_bytes().endswith(b"\n")
        # The same process goes on as soon as there is room.
        subprocess.run(["mount", "-o", "remount,size=64k", disk], check=True)
        journal.append(ev.Notice(text="x" * 4000))
        journal.close()
        assert [r["seq"] for r in read_journal(disk / "events.jsonl")] == list(range(len(whole) + 1))


def places_in(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Places in a JSON value; of a list the first and the last."""
    yield path
    inner = dict(value) if isinstance(value, dict) else {}
    if isinstance(value, list) and value:
        inner = {0: value[0], len(value) - 1: value[-1]}
    for key, each in inner.items():
        yield from places_in(each, (*path, key))


def with_other(value: Any, path: tuple[Any, ...], other: object) -> Any:
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_other(copy[path[0]], path[1:], other)
    return copy


OTHERS: tuple[object, ...] = (None, "text", -1, 1.5, True, [], [[]], {}, {"a": 1}, 10**30, float("nan"), 1e300)


def test_whatever_stands_in_a_record_it_is_damage_or_can_be_told() -> None:
    from heretic_tui.tui.log_lines import LogLines

    story = [
        *fake_run.story(trials=6, layers=3),
        ev.ExportFinished(trial=0, out="/out", result={"base": {}}, url="u"),
        ev.Memory(where="gpu", used=1, total=2),
        ev.StateChanged(state="paused"),
        ev.TargetChanged(n_trials=7),
        ev.ShiftFound(trial=0),
        ev.RunEnded(outcome="failed", reason="why"),
    ]
    tried = refused = 0
    for kind, event in {event.type: event for event in story}.items():
        record = event.to_json()
        for place in places_in(record):
            # What is kept for later is any JSON, and its reader's to check; here it is not looked into.
            if len(place) > 1 and place[0] in ("settings", "result"):
                continue
            for other in OTHERS:
                tried += 1
                try:
                    changed = with_other(record, place, other)
                    found = read_event(changed) if isinstance(changed, dict) else None
                except ValueError:
                    refused += 1
                    continue
                if found is None:
                    continue
                state = RunState()
                lines = LogLines(state)
                for told in (*story[:1], story[7], found, *fake_run.trial(0), found):
                    state.fold(told)
                    lines.add(told)
                state.front(), state.seconds_left(), state.in_hand
                assert all(isinstance(line.text, str) for line in lines.lines), (kind, place, other)
    assert tried > 2000
    assert refused > tried / 2

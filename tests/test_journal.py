"""The journal: torn lines, damage, thinning; and that replaying it gives the state that folding live gave."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heretic_tui.engine import events as ev
from heretic_tui.errors import UsageError
from heretic_tui.runtime.journal import Journal, read_journal
from heretic_tui.runtime.state import RunState, TrialRecord, pareto_front


def trial(number: int, kl: float, refusals: int) -> list[ev.Event]:
    return [
        ev.TrialStarted(number=number, parameters={"direction_index": None, "components": {}}),
        ev.TrialFinished(
            number=number, state="complete", kl_divergence=kl, refusals=refusals, prompts=100, seconds=1.0
        ),
    ]


def opened(n_trials: int = 5, resumed: bool = False) -> ev.RunOpened:
    return ev.RunOpened(
        run="r", folder="/r", model="m", settings={}, seed=1, n_trials=n_trials, resumed=resumed, pid=1, version="0"
    )


EVENTS: list[ev.Event] = [
    opened(),
    ev.Notice(text="größer\n[/red] \u2028 \x1b[31m"),
    ev.PhaseStarted(phase="search"),
    *trial(0, 0.5, 10),
    *trial(1, 0.25, 20),
    ev.TrialStarted(number=2, parameters={}),
]


def write(path: Path, events: list[ev.Event]) -> None:
    journal = Journal(path)
    for event in events:
        journal.append(event)
    journal.close()


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


@given(count=st.integers(0, len(EVENTS)))
def test_replay_gives_the_state_of_the_live_fold_for_any_prefix(count: int) -> None:
    live = RunState()
    for event in EVENTS[:count]:
        live.fold(event)
    replayed = RunState.replay(json.loads(json.dumps(event.to_json())) for event in EVENTS[:count])
    assert replayed == live


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
    for cls in ev.KINDS.values():
        values = {
            field.name: {"str": "x", "int": 1, "float": 0.5, "bool": True}.get(str(field.type).split(" ")[0])
            for field in fields(cls)
        }
        event = cls(**values)
        assert ev.from_json(json.loads(json.dumps(event.to_json()))) == event
    assert ev.from_json({"type": "of a later version"}) is None


def test_a_journal_of_the_time_when_one_trial_ran_at_once_is_read() -> None:
    records = [event.to_json() for event in EVENTS]
    records += [
        {"type": "trial_started", "number": 9, "parameters": {}},
        {"type": "measured", "metric": "KL divergence", "value": 0.25},
    ]
    assert RunState.replay(records).trials[9].measured == {"KL divergence": 0.25}


def test_what_ran_when_the_process_died_is_stopped_after_reopening() -> None:
    state = RunState()
    for event in [*EVENTS, opened(resumed=True)]:
        state.fold(event)
    assert state.trials[2].state == "stopped"
    assert state.finished == 2


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.0, 0.1, 0.2, 0.3])), max_size=12))
def test_front_is_what_no_other_trial_beats(points: list[tuple[int, float]]) -> None:
    trials = [
        TrialRecord(i, {}, state="complete", kl_divergence=kl, refusals=refusals)
        for i, (refusals, kl) in enumerate(points)
    ]
    expected = {
        i for i, (r, k) in enumerate(points) if not any(r2 <= r and k2 <= k and (r2 < r or k2 < k) for r2, k2 in points)
    }
    assert {t.number for t in pareto_front(trials)} == expected

"""Whatever stands in a model, a prompt, a run folder or a record: no character that steers a terminal leaves."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from heretic_tui import events as ev
from heretic_tui.report.printers import JsonPrinter, PlainPrinter
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Journal
from heretic_tui.run.state import RunState
from heretic_tui.settings.form import SettingsForm
from heretic_tui.terminal import Output
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.log_lines import LogLines
from heretic_tui.verdict import Verdict
from heretic_tui.words import plain, to_json
from tests.support import fake_run
from tests.support.commands import Ended
from tests.support.screens import drawn, drive, threads_end

LONG = "long " * 20_000
# A colour, a title, C1, a bell, DEL, line ends, directions, half a character, nothing to see, line and page separators.
HOSTILE = "x\x1b[2J\x1b]0;owned\x07\x9b31m\x7f\b\r\n\u202eb\u2066\udc9b\u200b\ufeff\u2028\x0b\x0c\U000e0041y"

Heretic = Callable[..., Ended]


def steering(text: str) -> set[str]:
    """The characters of a text that a terminal obeys or that hide something; line ends are those of lines."""
    return {c for c in text if c != "\n" and (unicodedata.category(c)[0] == "C" or c in "\u2028\u2029")}


def poisoned(value: Any) -> Any:
    """All strings in a value made hostile, and the names that are not the program's own."""
    match value:
        case str():
            return HOSTILE + value
        case list() | tuple():
            return [poisoned(item) for item in value]
        case dict():
            return {HOSTILE + key if "." in key else key: poisoned(item) for key, item in value.items()}
    return value


EVENTS = [
    *fake_run.story(trials=18),
    *fake_run.screening(18, refusals=40, kl=0.2),
    *fake_run.decoding(18, refusals=40, kl=0.2),
    *fake_run.screening(19, refusals=12, kl=0.1),
    ev.TrialsTakenUp(numbers=[19]),
    ev.StartMeasured(edit="trial 3 of model-1a2b", figures={"kl_divergence": 0.1, "refusals": 3}, prompts=100),
    ev.AnalysisEnded(error="no"),
    ev.RunTook(rows=[ev.Compared(name="a trial", unit="s", planned=None, was=1.0)]),
    ev.Notice(text="mind this", level="warning"),
    ev.Memory(where="gpu", used=1, total=2),
    ev.StateChanged(state="paused"),
    ev.TargetChanged(n_trials=70),
    ev.WorkerChanged(worker="worker 1", state="left out", reason="no", host="box", device="cuda:0"),
    ev.ChatStarted(id=1, trial=0),
    ev.ChatDelta(id=1, text="yes"),
    ev.ChatEnded(id=1, reason="failed", error="no"),
    ev.SpaceKnown(ranges={"direction_index": (1.0, 2.0)}),
    ev.SampleMade(id=2, model=0, number=0, text="yes", tokens=3, ended="eos"),
    ev.SamplesEnded(id=2, reason="failed", refused=[1], made=[8], error="no"),
    ev.FullAnswersFound(id=3, trial=0, prompts=[0, 1], ended=True, error="no"),
    ev.TryAnswers(id=4, answers=[ev.TriedAnswer("yes", 3, "end", Verdict(refused=True, marker="no"))]),
    ev.TryFigures(id=4, expected_refusals=1.5, harmful=5, harmful_of=9, figures={"kl": 0.1}, harmless=5, harmless_of=9),
    ev.TryEnded(id=4, reason="failed", error="no", no_estimate="none"),
    ev.TrialKept(id=5, trial=3, error="no"),
    ev.ExportStarted(trial=0, out="/out"),
    ev.ExportStep(trial=0, step="writing", seconds=1.0, said="4 files"),
    ev.ExportFinished(trial=0, out="/out", error="no"),
    ev.ExportFinished(trial=0, out="/out", url="https://hub/x"),
    ev.ShiftFound(trial=0, error="no"),
    ev.ReviewStarted(whose=["trial 0"], trials=[0], checks=["Held-out prompts"], seconds={"Held-out prompts": 2.0}),
    ev.ReviewFound(check="held_out", title="Held-out prompts", trial=0, whose="trial 0", figures={"refused": "1/9"}),
    ev.ReviewFound(check="damage", title="Damage", trial=None, failure="no"),
    ev.ReviewEnded(error="no"),
    ev.RunFailed(text="it fell", traceback="Traceback:\n  here"),
    ev.RunEnded(outcome="failed", reason="it fell"),
]  # fmt: skip


def hostile_variants(event: ev.Event) -> Iterator[ev.Event]:
    """The event with each of its fields poisoned, and with all of them."""
    changes = {field.name: poisoned(getattr(event, field.name)) for field in fields(event)}
    for name, value in changes.items():
        if value != getattr(event, name):
            yield replace(event, **{name: value})
    yield replace(event, **changes)


def test_all_kinds_of_events_are_tried() -> None:
    assert {event.type for event in EVENTS} == set(ev.KINDS)


@pytest.mark.parametrize("moving", [False, True])
def test_lines_of_every_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moving: bool) -> None:
    monkeypatch.setattr(Output, "moves", moving)
    monkeypatch.setattr("heretic_tui.report.printers.REFRESH_SECONDS", 0)
    monkeypatch.setattr("heretic_tui.report.printers.FILE_LINE_SECONDS", 0)
    state = RunState()
    with (tmp_path / "lines").open("wb") as lines, (tmp_path / "json").open("wb") as records:
        told: list[ev.Event] = []
        log = LogLines(state)
        printers: list[Callable[[ev.Event], object]] = [
            PlainPrinter(Output(lines.fileno()), state),
            JsonPrinter(Output(records.fileno())),
            log.add,
        ]
        for event in EVENTS:
            for variant in (event, *hostile_variants(event)):
                state.fold(variant)
                told.append(variant)
                for printer in printers:
                    printer(variant)
    text = (tmp_path / "lines").read_bytes().decode().replace("\r\x1b[K", "")
    assert "owned" in text
    assert steering(text) == set()
    assert steering("".join(line.text for line in log.lines)) == set()
    records_text = (tmp_path / "json").read_bytes().decode()
    assert steering(records_text) == set()
    for line, event in zip(records_text.splitlines(), told, strict=True):
        record = json.loads(line)
        assert {name: record[name] for name in record if name != "time"} == {
            name: json.loads(json.dumps(value)) for name, value in event.to_json().items() if name != "time"
        }


def test_text_and_json_keep_what_they_escape() -> None:
    assert steering(plain(HOSTILE)) == set()
    assert plain("ä ◆ 漢 👍") == "ä ◆ 漢 👍"
    for indent in (None, 1):
        written = to_json({HOSTILE: [HOSTILE, "ä ◆"]}, indent)
        assert json.loads(written) == {HOSTILE: [HOSTILE, "ä ◆"]}
        assert steering(written) == set()
        assert "ä ◆" in written


@pytest.fixture
def hostile_run(tmp_path: Path) -> Path:
    """A run folder whose every text is hostile, as far as the program takes it for a run's."""
    path = tmp_path / "runs" / "run\x1b]0;owned\x07\u202e"
    path.mkdir(parents=True)
    fake_run.write_directions(path)
    folder = RunFolder(path)
    record = folder.read_record().to_json()
    settings = poisoned(fake_run.opened().settings)
    folder.record.write_text(
        json.dumps({**record, "model": HOSTILE, "settings": {**settings, HOSTILE: HOSTILE}, "seed": 1})
    )
    journal = Journal(folder.events)
    for event in EVENTS:
        # What the program knows by name stays: a journal with other states is refused.
        keep = {"type", "state", "outcome", "metric", "level", "phase"} & {field.name for field in fields(event)}
        changes = {field.name: poisoned(getattr(event, field.name)) for field in fields(event)}
        if event.kept:
            journal.append(replace(event, **{name: value for name, value in changes.items() if name not in keep}))
    journal.close()
    folder.geometry.write_text(json.dumps(poisoned(fake_run.analysis().to_json()) | {"type": "layers_analysed"}))
    fake_run.write_shift(path, 0)
    shift = json.loads(folder.shift(0).read_text())
    folder.shift(0).write_text(json.dumps({HOSTILE + name: poisoned(value) for name, value in shift.items()}))
    fake_run.write_views(path)
    for number in (None, *range(18)):
        fake_run.write_responses(path, number, 5)
        responses = json.loads(folder.responses(number).read_text())
        folder.responses(number).write_text(
            json.dumps([{k: v if k == "marker" else poisoned(v) for k, v in row.items()} for row in responses])
        )
    folder.log.write_text(HOSTILE, encoding="utf-8", errors="surrogateescape")
    said = [
        *({"time": 1.0, "type": "note", "trial": number, "note": HOSTILE + LONG[:3000]} for number in range(18)),
        *({"time": 1.0, "type": "mark", "trial": number, "on": True} for number in range(18)),
        {"time": 1.0, "type": "tag", "trial": 0, "tag": HOSTILE, "on": True},
        {"time": HOSTILE, "type": HOSTILE, "note": LONG},
    ]
    folder.annotations.write_text("".join(json.dumps(each) + "\n" for each in said))
    folder.card(0).write_text(HOSTILE + LONG, encoding="utf-8", errors="replace")
    folder.conversations.mkdir()
    answer = {"trial": 0, "text": HOSTILE + LONG, "ended": "failed", "error": HOSTILE, "no_verdict": HOSTILE}
    talk = [
        {HOSTILE: HOSTILE},
        {"user": HOSTILE + LONG, "answers": [answer], HOSTILE: HOSTILE, "system_prompt": HOSTILE},
    ]
    (folder.conversations / "good.jsonl").write_text("".join(json.dumps(each) + "\n" for each in talk))
    (folder.conversations / "bad\x1b]0;owned\x07.jsonl").write_text(HOSTILE.replace("\udc9b", ""))
    (folder.conversations / "worse.jsonl").mkdir()
    return path


def test_what_commands_print_of_a_run(heretic: Heretic, hostile_run: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for command in (
        ["runs"],
        ["runs", "--json"],
        ["show", hostile_run],
        ["show", hostile_run, "--json"],
        ["geometry", hostile_run],
        ["geometry", hostile_run, "--json"],
        ["geometry", hostile_run, "--csv"],
        ["tokens", hostile_run],
        ["tokens", hostile_run, "--json"],
        ["tokens", hostile_run, "--trial", "0"],
        ["tokens", hostile_run, "--trial", "0", "--json"],
        ["compare", hostile_run, hostile_run],
        ["compare", hostile_run, hostile_run, "--json"],
    ):
        done = heretic(*command, runs_dir=runs)
        assert done.status == 0, done.err
        assert "owned" in done.out or "--csv" in command or command[0] == "compare"
        assert steering(done.out + done.err) == set(), command
        if "--json" in command:
            json.loads(done.out)
    name = "none\x1b]0;owned\x07\x9b\u202e"
    for refused in (
        ["show", name],
        ["run", f"./{name}"],
        ["runs", f"--{name}"],
        [name],
        ["export", hostile_run, "--trial", "99", name],
        ["export", hostile_run, "--trial", name, "out"],
        ["plot", hostile_run, "--method", name],
        ["plot", hostile_run, "--layers", name],
        ["config", "--config", name],
        ["score", name, "--edit", name],
    ):
        done = heretic(*refused, runs_dir=None if refused == [name] else runs)
        assert done.status == 2
        assert done.err.count("\n") == 1
        assert steering(done.out + done.err) == set(), refused


def test_the_screens(hostile_run: Path, tmp_path: Path) -> None:
    host = fake_run.FakeHost(hostile_run)
    form = SettingsForm({"runs_dir": str(tmp_path / "runs"), "model": "acme/x\x1b]0;owned\x07"})
    app = HereticApp(form, lambda settings: host, host)
    seen: list[str] = []
    leaks: dict[str, list[str]] = {}

    def look(where: str) -> None:
        text = drawn(app)
        seen.append(text)
        if steering(text):
            leaks[where] = [line.strip() for line in text.split("\n") if steering(line)]

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        for event in EVENTS:
            keep = {"state", "outcome", "metric"}
            changes = {field.name: poisoned(getattr(event, field.name)) for field in fields(event)}
            host.push(replace(event, **{name: value for name, value in changes.items() if name not in keep}))
            # What is shown at once: toasts, dialogs, the first row.
            if isinstance(event, ev.RunOpened | ev.Notice | ev.ShiftFound | ev.ExportFinished | ev.RunFailed):
                app.tick()
                await pilot.pause()
                look(event.type)
        for keys in (
            ["escape"], ["1"], ["2"], ["v"], ["v"], ["v"], ["3"], ["enter"], ["down"], ["escape"], ["t"], ["escape"],
            ["e"], ["escape"], ["slash", "x", "escape"], ["4"], ["escape"], ["5"], ["f"], ["f"], ["f"],
            ["escape"], ["0"], ["down"], ["up"], ["slash", "o", "w", "enter"], ["escape"], ["Q"], ["escape"], ["6"],
            ["3"], ["t"], ["escape"], ["c"], ["escape"], ["escape"], ["O"], ["down"], ["enter"], ["escape"],
            ["3"], ["home"], ["C"], ["f"], ["f"], ["F"], ["o"], ["escape"], ["full_stop"], ["escape"],
            ["3"], ["home"], ["e"], ["tab"], ["escape"], ["E"], ["escape"], ["b"], ["escape"],
        ):  # fmt: skip
            await pilot.press(*keys)
            await threads_end(app)
            await pilot.pause()
            app.tick()
            await pilot.pause()
            look(str(keys))

    drive(app, steps, (160, 50))
    assert leaks == {}
    assert sum("owned" in text for text in seen) > 10
    assert not re.search("Traceback.*test_hostile", "".join(seen))

"""Export: what is asked for, the steps as they are told, several at once, taking them back, and the card."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from heretic_tui import events as ev
from heretic_tui.commands import Export
from heretic_tui.figures import figures_of_before
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.report.model_card import card_text
from heretic_tui.run.annotations import Mark, Note
from heretic_tui.run.card_text import END, read_card_text
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.state import RunState
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.messages import ExportTrial
from heretic_tui.tui.run_view import RunView
from heretic_tui.tui.screens.dialogs import ChoiceDialog
from heretic_tui.tui.screens.export import ExportScreen
from heretic_tui.tui.screens.export_card import expected_record
from heretic_tui.tui.screens.export_text import forms
from heretic_tui.tui.screens.folder_dialog import FolderDialog
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.text_panel import TextPanel
from tests.support import fake_run
from tests.support.screens import drawn, drive, make_app, settle, shown, threads_end, told


def result(trial: int, files: tuple[float, int] | None, approximate: str | None = None) -> dict[str, object]:
    """What is measured of an export: of the trial 7 refused, KL 0.1234."""

    def measured(kl: float, refusals: int) -> dict[str, object]:
        return {"figures": {"kl_divergence": kl, "refusals": refusals}, "prompts": 100}

    found: dict[str, object] = {
        "figures": [asdict(figure) for figure in figures_of_before()],
        "base": measured(0.0, 91),
        "trial": {**measured(0.1234, 7), "number": trial},
        "approximate": approximate,
    }
    return found if files is None else {**found, "exported": measured(*files)}


async def arrive(pilot: Pilot[Any], app: HereticApp, host: fake_run.FakeHost, *keys: str, trials: int = 12) -> None:
    host.push(*fake_run.story(trials=trials, running=False), ev.PhaseStarted(phase="ready"))
    await settle(pilot, app)
    await pilot.press("g", *keys, "e")
    await threads_end(app)
    await pilot.pause()


def type_out(app: HereticApp, out: Path) -> None:
    app.screen.query_one("#out", Input).value = str(out)


async def known(pilot: Pilot[Any], app: HereticApp) -> None:
    await pilot.pause()
    await threads_end(app)
    await pilot.pause()


def test_an_export_is_asked_for_followed_step_by_step_and_measured(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await arrive(pilot, app, host)
        assert isinstance(app.screen, ExportScreen)
        assert "deliberately reduced" in shown(app, "#card")
        assert "Needs 538 MB; " in shown(app, "#export-facts")
        assert "free  ✓ new folder" in shown(app, "#export-facts")
        type_out(app, tmp_path / "there")
        app.screen.query_one("#hub", Input).value = "me/mine"
        app.screen.query_one("#token", Input).value = "hf_secret"
        await pilot.press("ctrl+s")
        (asked,) = host.commands()
        assert isinstance(asked, Export)
        assert (asked.trial, asked.out, asked.kind, asked.hub) == (0, str(tmp_path / "there"), "merged", "me/mine")
        assert "hf_secret" not in repr(asked)
        assert app.screen.query_one("#token", Input).value == ""
        assert "trial 0 waits" in shown(app, "#steps")
        host.push(
            ev.ExportStarted(trial=0, out=asked.out), ev.ExportStep(trial=0, step="edit"),
            ev.ExportStep(trial=0, step="edit", seconds=4.1, said="60 matrices"), ev.ExportStep(trial=0, step="write"),
            ev.Progress(stage="written, MB", done=269, total=538, seconds_left=11.0),
        )  # fmt: skip
        await settle(pilot, app)
        lines = shown(app, "#steps").splitlines()
        assert [" ".join(line.split()) for line in lines[3:6]] == [
            "✓ 1 edit the weights 4.1 s 60 matrices",
            "▶ 2 write 269 MB of 538 MB 11 s left",
            "3 hashes and reproduce.json",
        ]
        # It is left, and come back to.
        await pilot.press("3")
        host.push(
            ev.ExportStep(trial=0, step="write", seconds=20.0, said="1 weight file, 538 MB"),
            ev.ExportStep(trial=0, step="measure"), ev.Progress(stage="refusals", done=40, total=100),
        )  # fmt: skip
        await settle(pilot, app)
        await pilot.press("5")
        await settle(pilot, app)
        assert "40 of 100 refusals" in shown(app, "#steps")
        assert "they must be within ±1, ±5 % of the trial" in shown(app, "#steps")
        host.push(
            ev.ExportStep(trial=0, step="measure", seconds=9.0),
            ev.ExportFinished(trial=0, out=asked.out, result=result(0, (0.1235, 8)), url="https://hub/me/mine"),
        )
        await settle(pilot, app)
        text = shown(app, "#steps")
        assert "8/100" in text
        assert "The files measure as the trial did (within ±1, ±5 %)." in text
        assert "uploaded: https://hub/me/mine" in text

    drive(make_app(tmp_path, host), steps, (120, 40))


@pytest.mark.parametrize(
    ("files", "approximate", "words", "sign"),
    [
        ((0.1234, 12), None, "Outside tolerance (within ±1, ±5 %): refusals 12/100, trial 7/100.", "✗"),
        ((0.2, 7), "the LoRA of rank 3 that comes nearest", "Not as the trial (KL 0.2000, trial 0.1234)", "≈"),
    ],
)  # fmt: skip
def test_figures_outside_the_tolerance_are_told_by_a_colour_a_sign_and_words(
    tmp_path: Path, folder: Path, files: tuple[float, int], approximate: str | None, words: str, sign: str
) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await arrive(pilot, app, host)
        host.push(
            ev.ExportStarted(trial=0, out="/there"),
            ev.ExportFinished(trial=0, out="/there", result=result(0, files, approximate)),
        )
        await settle(pilot, app)
        text = app.screen.query_one("#steps", TextPanel).text
        assert f"{sign} {words}" in text.plain
        red = app.screen.looks.bad  # type: ignore[attr-defined]
        outside = [text.plain[s.start : s.end].strip() for s in text.spans if s.style == red]
        assert ("12/100" in outside) == (approximate is None)

    drive(make_app(tmp_path, host), steps, (120, 40))


def test_several_trials_are_exported_one_after_another_and_each_can_be_cancelled(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await arrive(pilot, app, host)
        assert app.view.annotate(Mark(trial=3, on=True), Note(trial=3, note="keeps style")) is None
        await settle(pilot, app)
        also = app.screen.query_one("#also", LineTable)
        assert also.rows[0].key == 3
        assert also.rows[0].cells[0] == "[ ] 3 ★"
        assert also.rows[0].cells[2] == "keeps style"
        assert 0 not in {row.key for row in also.rows}
        also.focus()
        await pilot.press("g", "space", "j", "space")
        other = also.rows[1].key
        type_out(app, tmp_path / "mine-0")
        await known(pilot, app)
        assert "Needs 1.61 GB for 3 of them" in shown(app, "#export-facts")
        await pilot.press("ctrl+s")
        asked = host.commands()
        assert [(c.trial, c.out) for c in asked if isinstance(c, Export)] == [
            (0, str(tmp_path / "mine-0")),
            *((n, str(tmp_path / f"mine-{n}")) for n in sorted([3, int(str(other))])),
        ]
        first, second, third = (c for c in asked if isinstance(c, Export))
        host.push(ev.ExportStarted(trial=0, out=first.out), ev.ExportStep(trial=0, step="edit"))
        await settle(pilot, app)
        assert f"trial {third.trial} waits" in shown(app, "#steps")
        await pilot.press("ctrl+x")
        assert isinstance(app.screen, ChoiceDialog)
        assert "leaves nothing behind" in app.screen.question.text
        await pilot.press("2")
        assert host.control is not None
        assert host.control.begin(second).aborting
        assert not host.control.begin(first).aborting
        # One that fails costs the others nothing.
        host.push(ev.ExportFinished(trial=0, out=first.out, error="no space left on the disk"))
        host.push(ev.ExportStarted(trial=second.trial, out=second.out))
        host.push(ev.ExportFinished(trial=second.trial, out=second.out, error="cancelled: nothing was left behind"))
        host.push(ev.ExportStarted(trial=third.trial, out=third.out), ev.ExportStep(trial=third.trial, step="edit"))
        await settle(pilot, app)
        text = shown(app, "#steps")
        assert "no space left on the disk" in text
        assert "cancelled: nothing was left behind" in text
        assert "▶ 1 edit the weights" in text
        await pilot.press("ctrl+x", "n")
        assert not host.control.begin(third).aborting
        await pilot.press("ctrl+x", "y")
        assert host.control.begin(third).aborting

    drive(make_app(tmp_path, host), steps, (120, 40))


def test_what_cannot_be_written_is_said_before_it_is_asked_for(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").touch()

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await arrive(pilot, app, host)
        for typed, words in (
            (str(tmp_path / "taken"), "exists: choose another folder"), ("", "Type a folder"),
            ("\0", "is no path"), (str(tmp_path / "file" / "x"), "Nothing can be written in"),
        ):  # fmt: skip
            app.screen.query_one("#out", Input).value = typed
            await known(pilot, app)
            assert words in shown(app, "#export-facts"), typed
            if "file" not in typed:
                await pilot.press("ctrl+s")
                assert host.commands() == [], typed
        type_out(app, tmp_path / "new")
        await pilot.press("ctrl+s")
        assert len(host.commands()) == 1
        await pilot.press("ctrl+s")
        assert host.commands() == [], "that folder is taken by the first"
        assert "still to be made" in told(app)[0]

    drive(make_app(tmp_path, host), steps, (120, 40))


def test_the_folder_is_completed_and_found_by_walking_through_folders(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    for name in ("models-of-mine", "models-of-others", "music"):
        (tmp_path / "home" / name).mkdir(parents=True)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await arrive(pilot, app, host)
        out = app.screen.query_one("#out", Input)
        out.focus()
        out.value = f"{tmp_path}/home/mo"
        await pilot.press("tab")
        await known(pilot, app)
        assert out.value == f"{tmp_path}/home/models-of-"
        await pilot.press("end", "m", "tab")
        await known(pilot, app)
        assert out.value == f"{tmp_path}/home/models-of-mine/"
        assert out.has_focus
        await pilot.press("tab")
        await known(pilot, app)
        assert app.screen.query_one("#hub").has_focus, "nothing completes it: on to the next line"
        out.value = f"{tmp_path}/home/music/t0"
        await pilot.press("escape", "b")
        assert isinstance(app.screen, FolderDialog)
        await known(pilot, app)
        await pilot.press("h")
        await known(pilot, app)
        table = app.screen.query_one("#folders", LineTable)
        assert [row.key for row in table.rows] == ["..", "models-of-mine", "models-of-others", "music"]
        assert table.cursor == "music", "where one came from"
        await pilot.press("k", "enter")
        await known(pilot, app)
        await pilot.press("n", *"a.b", "enter")
        await known(pilot, app)
        assert (tmp_path / "home" / "models-of-others" / "a.b").is_dir()
        await pilot.press("space")
        await pilot.pause()
        assert out.value == f"{tmp_path}/home/models-of-others/a.b/t0"

    drive(make_app(tmp_path, host), steps, (120, 40))


def test_a_message_brings_the_trial_and_the_forms_say_what_is_exact(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await arrive(pilot, app, host)
        app.post_message(ExportTrial(3))
        await pilot.pause()
        await known(pilot, app)
        assert shown(app, "#export-trial").startswith("trial 3 ")
        assert "(original: 91)" in shown(app, "#export-trial")
        rows = app.screen.query_one("#forms", LineTable).rows
        assert [(row.cells[0], row.cells[1]) for row in rows] == [
            ("(●) merged model", "exact"), ("( ) LoRA adapter, rank 3", "approximate"), ("( ) DoRA adapter", "exact"),
        ]  # fmt: skip
        await pilot.press("j")
        assert app.screen.query_one("#out", Input).value.endswith("exports/trial-3-adapter")
        assert "nearest to the edit" in shown(app, "#form-words")
        assert "These files are approximate: the LoRA of rank 3" in shown(app, "#card")
        await pilot.press("y")
        assert "command copied" in told(app)[0]
        assert app.clipboard.startswith("heretic-tui export run --trial 3 --as adapter ")

    drive(make_app(tmp_path, host), steps, (120, 40))


@pytest.mark.parametrize(
    ("exact_as", "numbers", "why", "titles", "words"),
    [
        ("", 900, "", ["LoRA adapter, rank 3"], "PEFT has no DoRA, which would be exact, of fused experts."),
        ("LoRA", 900, "", ["LoRA adapter, rank 1"], "exactly the edit"),
        ("", 0, "x.mlp holds experts", [], "No adapter: x.mlp holds experts."),
    ],
)
def test_the_forms_are_those_that_the_model_can_be_written_in(
    exact_as: str, numbers: int, why: str, titles: list[str], words: str
) -> None:
    state = RunState.replay(fake_run.preparation())
    assert state.coverage is not None
    state.coverage = replace(state.coverage, exact_as=exact_as, rank_one=numbers, no_adapter=why)
    merged, *others = forms(state)
    assert [form.title for form in others] == titles
    assert words in (others or [merged])[-1].words
    assert merged.size == 538_060_032
    state.model = replace(state.model, stored_bytes=269_030_016) if state.model else None
    assert forms(state)[0].size == 269_030_016, "what is written is as large as the files that it is made from"


def test_an_adapter_that_peft_refuses_is_told_before_it_is_asked_for(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = "PEFT takes no adapter for this model: it is Mamba; export merged weights"
    monkeypatch.setattr("heretic_tui.tui.screens.export_where.adapter_refused", lambda recorded, own, edits: why)
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await arrive(pilot, app, host)
        assert why not in shown(app, "#export-facts"), "a merged model is chosen"
        await pilot.press("j")
        await known(pilot, app)
        assert why in shown(app, "#export-facts")
        await pilot.press("ctrl+s")
        assert host.commands() == []
        assert why in told(app)[0]
        await pilot.press("k", "ctrl+s")
        assert [command.kind for command in host.commands() if isinstance(command, Export)] == ["merged"]

    drive(make_app(tmp_path, host), steps, (120, 40))


def test_the_card_before_an_export_tells_what_leaves_out_fused_experts() -> None:
    view = RunView()
    view.state = state = RunState.replay(fake_run.story(trials=2, running=False))
    assert state.coverage is not None
    state.coverage = replace(state.coverage, exact_as="LoRA", fused=True)
    for form, left_out in zip(forms(state), (False, True), strict=True):
        record = expected_record(view, state.trials[0], form)
        assert record is not None
        assert ("leaves out what an adapter holds of fused experts" in card_text(record)) == left_out
        assert ("--lora-modules" in card_text(record)) is False


def test_adapters_have_the_rank_of_the_trial_in_view() -> None:
    state = RunState.replay(fake_run.story(trials=2, running=False))
    assert state.coverage is not None
    assert state.directions is not None
    state.directions = replace(state.directions, rank=5, method="clusters", ranks={"clusters": 5, "leace": 1})
    kernels = {"attn.o_proj": Kernel(1.0, 1.0, 0.5, 9.0)}
    ranks = []
    for exact_as in ("LoRA", "DoRA", ""):
        state.coverage = replace(state.coverage, exact_as=exact_as, rank_one=900)
        for method in (None, "clusters", "leace"):
            trial = replace(state.trials[1], parameters=Parameters(None, kernels, method))
            _, adapter, *dora = forms(state, trial)
            rank = int(adapter.title.rpartition(" ")[2])
            assert adapter.size == 900 * rank * 4, "numbers of float32"
            assert (adapter.approximate is None) == (exact_as == "LoRA")
            assert [form.name for form in dora] == (["dora"] if exact_as == "DoRA" else [])
            ranks.append(rank)
    # An edit of rank 1 comes near with the rank that is set.
    assert ranks == [5, 5, 1, 5, 5, 3, 5, 5, 3]


def test_what_is_quantised_can_be_quantised_again(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        loaded = next(event for event in fake_run.story(trials=1) if isinstance(event, ev.ModelLoaded))
        host.push(*fake_run.story(trials=12, running=False), ev.PhaseStarted(phase="ready"))
        host.push(replace(loaded, stored_as="MXFP4", stored_bytes=200_000_000, dtype="bfloat16"))
        await settle(pilot, app)
        await pilot.press("g", "e")
        await known(pilot, app)
        rows = app.screen.query_one("#forms", LineTable).rows
        assert [row.cells for row in rows][:2] == [
            ("(●) merged model", "exact", "≈269 MB"),
            ("( ) merged model, MXFP4 again", "approximate", "200 MB"),
        ]
        assert "the rest MXFP4 as it was" in " ".join(shown(app, "#form-words").split())
        await pilot.press("j")
        assert app.screen.query_one("#out", Input).value.endswith("-requantized")
        assert "quantised again as MXFP4, which rounds it" in " ".join(shown(app, "#form-words").split())
        assert "These files are approximate: the edited matrices are quantised again" in shown(app, "#card")
        await pilot.press("y")
        assert " --requantize " in app.clipboard
        type_out(app, tmp_path / "again")
        await known(pilot, app)
        await pilot.press("ctrl+s")
        await pilot.pause()
        (command,) = host.commands()
        assert isinstance(command, Export)
        assert (command.kind, command.requantize) == ("merged", True)

    drive(make_app(tmp_path, host), steps, (160, 50))


@contextlib.contextmanager
def _left() -> Iterator[None]:
    yield


def editor_of(tmp_path: Path, script: str) -> str:
    path = tmp_path / "editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_the_card_is_edited_and_the_text_stays(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = fake_run.FakeHost(folder)
    monkeypatch.delenv("VISUAL", raising=False)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await arrive(pilot, app, host)
        await pilot.press("E")
        assert "cannot be left to an editor" in told(app)[0], "there is no terminal here"
        monkeypatch.setattr(app, "suspend", _left)
        for script, words in (("exit 3", "ended with status 3"), (': > "$1"', "left nothing"), ("true", "as it was")):
            monkeypatch.setenv("EDITOR", editor_of(tmp_path, script))
            await pilot.press("E")
            assert words in told(app)[0]
            assert read_card_text(RunFolder(folder), 0) == ""
        monkeypatch.setenv("EDITOR", "no-such-editor --wait")
        await pilot.press("E")
        assert told(app)[0] == "$EDITOR names 'no-such-editor', which is not there: set it to your editor"
        monkeypatch.setenv("EDITOR", editor_of(tmp_path, f"sed -i 's/^{END}/Prompt it kindly.\\n&/' \"$1\""))
        await pilot.press("E")
        assert read_card_text(RunFolder(folder), 0) == "Prompt it kindly.\n"
        assert "Prompt it kindly." in shown(app, "#card")
        # It stays while figures change, and what is taken out of the card comes back.
        monkeypatch.setenv("EDITOR", editor_of(tmp_path, "sed -i '/deliberately reduced/d; $ a Mine, below.' \"$1\""))
        await pilot.press("E")
        assert read_card_text(RunFolder(folder), 0) == "Prompt it kindly.\n\nMine, below.\n"
        assert "1 line from elsewhere" in told(app)[0]
        assert "deliberately reduced" in shown(app, "#card")
        assert os.listdir(folder).count("card-0000.md") == 1

    drive(make_app(tmp_path, host), steps, (120, 40))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
def test_it_is_drawn_with_ascii_characters_where_only_they_are_known(
    tmp_path: Path, folder: Path, size: tuple[int, int]
) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await arrive(pilot, app, host)
        host.push(
            ev.ExportStarted(trial=0, out="/there"), ev.ExportStep(trial=0, step="edit", seconds=1.0),
            ev.ExportStep(trial=0, step="write"), ev.Progress(stage="written, MB", done=2, total=4),
        )  # fmt: skip
        await settle(pilot, app)
        seen = ""
        for _ in range(3):
            seen += drawn(app)
            assert seen.isascii(), {c for c in seen if not c.isascii()}
            await pilot.press("v")
            await known(pilot, app)
        for words in ("merged model", "edit the weights", "deliberately"):
            assert words in seen
        assert isinstance(app.screen, ExportScreen)

    drive(make_app(tmp_path, host, interface=Interface(ascii=True)), steps, size)


def test_a_folder_that_is_typed_before_there_is_a_trial_is_no_failure(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.preparation())
        await settle(pilot, app)
        await pilot.press("5")
        app.screen.query_one("#out", Input).value = str(tmp_path / "out")
        await known(pilot, app)
        assert "No trial is selected" in drawn(app)

    drive(make_app(tmp_path, host), steps)
    assert "work for the screen failed" not in caplog.text

"""A search on top of a trial of another run: what it is compared with, what it needs, and its exports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM

from heretic_tui.events import TrialFinished
from heretic_tui.run.folder import find_runs
from heretic_tui.run.rounds import base_of
from heretic_tui.run.run import Run
from tests.support import tiny_models
from tests.support.exports import Heretic, logits_of, record_of, searched
from tests.support.runs import append

FEW = ["--n-trials", "2", "--seed", "6", "--screening", "off"]


def newest(runs_dir: Path, *but: str) -> Run:
    """The run that is there beside others."""
    (folder,) = (each for each in find_runs(runs_dir) if each.name not in but)
    return Run(folder.path)


def two_rounds(heretic: Heretic, tmp_path: Path, sets: list[str], *flags: str) -> tuple[Run, Run]:
    searched(heretic, tiny_models.save(tmp_path / "model"), sets, *flags)
    first = newest(tmp_path / "runs")
    done = heretic("run", "--from", "model", "--trial", "1", *FEW)
    assert done.status == 0, done.err
    return first, newest(tmp_path / "runs", first.name)


def test_a_second_round_is_compared_with_the_original_and_needs_the_first_no_more(
    heretic: Heretic, tmp_path: Path, sets: list[str]
) -> None:
    first, second = two_rounds(heretic, tmp_path, sets)
    settings = [run.folder.read_record().settings or {} for run in (first, second)]
    assert settings[1]["on_top_of"] == f"{first.name}:1"
    assert settings[1]["good_prompts"] == settings[0]["good_prompts"], "its settings are those of the first"
    assert (first.folder.baseline.read_bytes()) == second.folder.baseline.read_bytes()
    start, below = second.state.start, first.state.trials[1]
    assert start is not None
    # An edit of nothing on top of a trial is that trial.
    assert start.figures == pytest.approx(below.figures, abs=1e-6)
    assert abs(second.directions - first.directions).max() > 0.05, "they are found anew"
    assert second.geometry is not None
    assert any(f"trial 1 of {first.name}" in note for note in second.geometry.notes)
    shown = heretic("show", second.name)
    assert f"on top  trial 1 of {first.name}: " in shown.out
    assert "on the front, better than that in both figures: " in shown.out
    assert json.loads(heretic("show", second.name, "--json").out)["on_top_of"]["figures"] == start.figures

    # A third is on top of both.
    done = heretic("run", "--from", second.name, "--trial", "0", *FEW)
    assert done.status == 0, done.err
    third = newest(tmp_path / "runs", first.name, second.name)
    rounds = third.folder.read_record().rounds
    assert [(each.run, each.trial) for each in rounds] == [(first.name, 1), (second.name, 0)]
    assert all(file.is_file() for file in base_of(third.folder).files)
    assert third.state.start is not None
    assert third.state.start.figures == pytest.approx(second.state.trials[0].figures, abs=1e-6)
    assert third.state.start.rank == 2

    # The same command goes on with it, the first run being gone, and asks for the trials that it would have.
    whole = second.state.trials
    shutil.rmtree(first.folder.path)
    lines = second.folder.events.read_text().splitlines(keepends=True)
    ends = [at for at, line in enumerate(lines) if '"trial_finished"' in line and '"number": 1' in line]
    second.folder.events.write_text("".join(lines[: ends[0]]))
    again = heretic("run", "--from", first.name, "--trial", "1", *FEW)
    assert again.status == 0, again.err
    gone_on = newest(tmp_path / "runs", third.name)
    assert gone_on.name == second.name
    assert len([line for line in gone_on.folder.events.read_text().splitlines() if '"start_measured"' in line]) == 1
    for number, trial_before in whole.items():
        assert gone_on.state.trials[number].figures == pytest.approx(trial_before.figures, abs=1e-6)


def test_an_original_model_that_shows_nothing_to_count_says_nothing_of_what_an_edit_left(
    heretic: Heretic, tmp_path: Path, sets: list[str]
) -> None:
    nothing = ["--refusal-markers", "zzzz", "--no-count-broken-as-refused", "--n-trials", "1", "--screening", "off"]
    model = tiny_models.save(tmp_path / "model")
    for what, warned in (([model, *sets], True), (["--from", "model", "--trial", "0"], False)):
        done = heretic("run", *what, *nothing)
        assert done.status == 0, done.err
        assert "refuses 0 of" in done.out
        assert ("refuses none of the harmful evaluation prompts: there is nothing to search for" in done.out) is warned


@pytest.mark.parametrize(("method", "flags"), [("norm_preserving", ["--dora"]), ("subtract", [])])
def test_exports_hold_the_edits_of_both_rounds(
    heretic: Heretic, tmp_path: Path, sets: list[str], method: str, flags: list[str]
) -> None:
    first, second = two_rounds(heretic, tmp_path, sets, "--edit-method", method)
    out, adapter, again = (tmp_path / name for name in ("out", "adapter", "again"))
    for place, form in ((out, []), (adapter, ["--as", "adapter", *flags])):
        done = heretic("export", second.name, "--trial", "1", place, *form)
        assert done.status == 0, done.err
        figures = record_of(place)
        assert figures["exported"]["figures"] == pytest.approx(figures["trial"]["figures"], abs=2e-4)
        assert figures["base"]["figures"]["kl_divergence"] == 0
    record: dict[str, Any] = record_of(out)
    assert record["streamed"] is True
    assert [(each["run"], each["trial"]) for each in record["rounds"]] == [(first.name, 1)]
    assert str(tmp_path) not in json.dumps(record)
    card = (out / "README.md").read_text()
    assert "It was edited in 2 rounds." in card
    assert f"1. trial 1 of run {first.name}" in card
    assert json.loads((adapter / "adapter_config.json").read_text())["r"] == 2
    merged = logits_of(AutoModelForCausalLM.from_pretrained(out))
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert (logits_of(PeftModel.from_pretrained(base, adapter)) - merged).norm() / merged.norm() < 1e-3

    done = heretic("reproduce", out / "reproduce.json", again, runs_dir=None)
    assert done.status == 0, done.err
    assert "the directions of round 1" in done.err
    assert record_of(again)["files"] == record["files"]


def test_what_cannot_be_is_told_in_a_line(heretic: Heretic, tmp_path: Path, sets: list[str]) -> None:
    searched(heretic, tiny_models.save(tmp_path / "model"), sets)
    other = tiny_models.save(tmp_path / "other", seed=9)
    for arguments, said in (
        (["--trial", "1"], "--trial is one of an earlier run: name that with --from RUN"),
        (["--from", "model"], "with --trial N; on its front are: "),
        (["--from", "nothing", "--trial", "1"], "no run nothing in "),
        (["--from", "model", "--trial", "7"], "does not exist; on the front are: "),
        ([other, "--from", "model", "--trial", "1"], "is another model, or has changed since"),
        (["--from", "model", "--trial", "1", "--component-kinds", "fine"], "--component-kinds has to be what it was"),
        (["--on-top-of", "model", other], "on_top_of (from the command line): expected RUN:TRIAL"),
    ):
        done = heretic("run", *arguments)
        assert done.status == 2, done.err
        assert said in done.err
        assert done.err.count("\n") == 1
    assert len(find_runs(tmp_path / "runs")) == 1

    (run,) = find_runs(tmp_path / "runs")
    cut = TrialFinished(
        number=0, state="dominated", figures={"kl_divergence": 0.1}, at_least={"refusals": 2}, estimate={"refusals": 3}
    )
    append(run, [cut])
    shutil.move(tmp_path / "model", tmp_path / "elsewhere")
    for trial, said in (
        ("0", "was cut short: its refusals are an estimate; on the front are: "),
        ("1", f"no such model folder: {tmp_path / 'model'}; where the model of model lies elsewhere now, give"),
        ("many", "argument --trial: expected a whole number, not 'many'"),
    ):
        done = heretic("run", "--from", "model", "--trial", trial)
        assert (done.status, done.err.count("\n")) == (2, 1)
        assert said in done.err

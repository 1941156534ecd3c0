"""What an older version wrote is still read: tests/golden/version_1 is shown, resumed, exported and built again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from textual.pilot import Pilot

from heretic_tui.demo.settings import FOLDER, MODEL, PROMPTS
from heretic_tui.run.folder import RunFolder
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.other_process import FollowHost
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.text_panel import TextPanel
from tests.support import fake_run
from tests.support.commands import Ended

GOLDEN = Path(__file__).parent / "golden" / "version_1"
NAME = "model-c4a34d1c"
# Where the demo was when the run was made.
THEN = "/opt/heretic-tui/heretic_tui/demo"
# The instruction set and the torch that the weights were made with: sums of floats differ in their last bits from one
# to another.
MADE_WITH = ("AVX512", "2.13.0+cpu")
HERE = (torch.backends.cpu.get_cpu_capability(), torch.__version__)

# By number: KL divergence, refusals, and whether the trial ended early, its refusals then being an estimate.
TRIALS = {
    0: (0.01017024, 2, False),
    1: (0.00067835, 100, False),
    2: (0.00084952, 100, False),
    3: (0.00029444, 100, False),
    4: (0.00084781, 100, True),
    5: (0.01183367, 0, False),
    6: (0.00090020, 100, True),
    7: (0.00687701, 72, False),
    8: (0.00180702, 85, False),
    9: (0.00275304, 99, False),
    10: (0.00798911, 12, False),
    11: (0.00679987, 0, False),
}
FRONT = [3, 8, 11]
# What a search that goes on asks for next.
NEXT = {12: (0.00382197, 30, False), 13: (0.00762831, 2, False)}

Heretic = Callable[..., Ended]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs with a copy of the old one, which names the demo of this installation."""
    folder = tmp_path / "runs" / NAME
    shutil.copytree(GOLDEN / NAME, folder)
    for file in ("run.json", "events.jsonl"):
        text = (folder / file).read_text(encoding="utf-8")
        assert THEN in text
        (folder / file).write_text(text.replace(THEN, str(FOLDER)), encoding="utf-8")
    return folder.parent


def shown_trials(heretic: Heretic) -> dict[int, tuple[object, int, bool]]:
    """The trials as `show --json` tells them."""
    done = heretic("show", NAME, "--json")
    assert done.status == 0, done.err
    found: dict[int, tuple[object, int, bool]] = {}
    for trial in json.loads(done.out)["trials"]:
        early = trial["state"] == "dominated"
        refusals = trial["estimate" if early else "figures"]["refusals"]
        found[trial["number"]] = (pytest.approx(trial["figures"]["kl_divergence"], abs=1e-6), refusals, early)
    return found


def test_it_is_listed_and_shown(heretic: Heretic, runs: Path) -> None:
    listed = heretic("runs")
    assert NAME in listed.out
    assert "12/12" in listed.out
    assert "100/100" in listed.out
    assert shown_trials(heretic) == TRIALS
    shown = heretic("show", NAME)
    assert shown.status == 0, shown.err
    assert f"{MODEL}" in shown.out
    trials = json.loads(heretic("show", NAME, "--json").out)["trials"]
    assert [trial["number"] for trial in trials if trial["front"]] == FRONT


def test_its_layers_are_read(heretic: Heretic, runs: Path) -> None:
    geometry = heretic("geometry", NAME)
    assert geometry.status == 0, geometry.err
    assert "S(g,b)" in geometry.out
    tokens = heretic("tokens", NAME)
    assert tokens.status == 0, tokens.err
    assert "' apologies' +5.71" in tokens.out
    same = heretic("compare", NAME, NAME)
    assert same.status == 0, same.err
    assert "differ  in nothing that decides results" in same.out
    assert "1.000 on average over the layers" in same.out


def test_the_screen_shows_its_trials_layers_and_responses(runs: Path) -> None:
    async def steps(app: HereticApp, pilot: Pilot[Any]) -> None:
        app.tick()
        await pilot.press("3")
        table = app.screen.query_one("#trial-table", LineTable)
        assert sorted(row.key for row in table.rows if isinstance(row.key, int)) == list(TRIALS)
        table.go_to(11)
        await pilot.pause()
        assert app.screen.query_one("#detail-pane").border_title == "Trial 11 ◆"
        await pilot.press("enter")
        await pilot.pause()
        assert len(app.screen.query_one("#prompts", LineTable).rows) == 100
        assert "prompts: all   100 of 100" in str(app.screen.query_one("#prompts-pane").border_title)
        await pilot.press("escape", "2")
        assert len(app.screen.query_one("#layer-table", LineTable).rows) == 11
        await pilot.pause()
        assert "Layer 9 * (best)" in text_of(app, "#finding")

    async def go() -> None:
        app = HereticApp(
            None, lambda settings: fake_run.FakeHost(), FollowHost(RunFolder(runs / NAME)), timed=False, strict=True
        )
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            await steps(app, pilot)

    asyncio.run(go())


def text_of(app: HereticApp, selector: str) -> str:
    return app.screen.query_one(selector, TextPanel).text.plain


def test_it_is_resumed(heretic: Heretic, runs: Path) -> None:
    flags = ("--seed", "0", "--n-trials", "14", "--no-keep-residuals", "--lines")
    done = heretic("demo", *flags)
    assert done.status == 0, done.err
    assert "resumed, 12 of 14 trials done" in done.out
    assert [path.name for path in runs.iterdir() if path.is_dir()] == [NAME], "it is the same run"
    for phase in ("baseline", "residuals"):
        assert f"{phase}: from the run folder" in done.out
    assert "layers: " not in done.out, "they were analysed then"
    found = shown_trials(heretic)
    assert {number: found[number] for number in TRIALS} == TRIALS
    assert sorted(found) == [*TRIALS, *NEXT]
    if HERE == MADE_WITH:
        assert found == {**TRIALS, **NEXT}


def test_it_is_exported_and_built_again(heretic: Heretic, runs: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out", tmp_path / "again"
    done = heretic("export", NAME, "--trial", 11, out)
    assert done.status == 0, done.err
    old = json.loads((GOLDEN / "reproduce.json").read_text(encoding="utf-8"))
    record = json.loads((out / "reproduce.json").read_text(encoding="utf-8"))
    figures = record["exported"]["figures"]
    assert figures["refusals"] == old["exported"]["refusals"] == 0
    assert figures["kl_divergence"] == pytest.approx(old["exported"]["kl_divergence"], abs=1e-6)
    assert record["parameters"] == old["parameters"]

    sets = {
        "good-prompts": "good_train",
        "bad-prompts": "bad_train",
        "good-evaluation-prompts": "good_eval",
        "bad-evaluation-prompts": "bad_eval",
    }
    places = [part for name, file in sets.items() for part in (f"--{name}", PROMPTS / f"{file}.jsonl")]
    built = heretic("reproduce", GOLDEN / "reproduce.json", again, "--model", MODEL, *places, runs_dir=None)
    hashes = {folder: sha256(folder / "model.safetensors") for folder in (out, again)}
    assert hashes[again] == hashes[out], "the run and its record give the same file"
    if HERE == MADE_WITH:
        assert built.status == 0, built.err
        assert hashes[again] == old["files"]["model.safetensors"]
    else:
        warnings.warn(
            f"the hash of {MADE_WITH} cannot be had with {HERE}: two builds of this machine were compared", stacklevel=1
        )


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()

"""The layers screen and its views."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input

from heretic_tui import events as ev
from heretic_tui.commands import Shift
from heretic_tui.engine.analysis.where_refusal_lives import where_refusal_lives
from heretic_tui.layer_figures import Effect, FirstTokens, Separation
from heretic_tui.report.layers import geometry_text
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.widgets.line_table import LineTable
from tests.support import fake_run
from tests.support.screens import drive, make_app, settle, shown

# Residual index of the layer that fake_run.analysis makes the best.
BEST = 20


def test_layers(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await pilot.press("2")
        host.push(*list(fake_run.preparation())[:3], ev.Progress(stage="residuals of bad prompts", done=3, total=40))
        await settle(pilot, app)
        assert "residuals of bad prompts: 3 of 40" in shown(app, "#layer-detail")
        host.push(*list(fake_run.story(trials=3))[3:])
        await settle(pilot, app)
        table = app.screen.query_one("#layer-table", LineTable)
        assert len(table.rows) == fake_run.LAYERS + 1
        assert table.cursor == BEST, "where refusal is carried best"
        assert f"layer {BEST - 1} (the best)" in shown(app, "#layer-detail")
        await pilot.press("g", "j")
        assert "layer 0" in shown(app, "#layer-detail")
        assert "best" not in shown(app, "#layer-detail")
        for words in ("separation", "strength of the edit", "cosines, from"):
            await pilot.press("v")
            assert words in shown(app, "#layer-detail")

    drive(make_app(tmp_path, host), steps, (150, 45))


async def open_projection(pilot: Pilot[Any], app: HereticApp, host: fake_run.FakeHost) -> None:
    host.push(*fake_run.story(trials=2))
    await settle(pilot, app)
    await pilot.press("2", "o")
    await app.workers.wait_for_complete()
    await pilot.pause()


def test_layers_are_walked_with_the_arrow_keys_and_the_projection_follows(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    fake_run.write_views(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_projection(pilot, app, host)
        await pilot.press("G")
        table = app.screen.query_one(LineTable)
        drawn = []
        for key, layer in (("left", 28), ("h", 27), ("up", 26), ("right", 27), ("down", 28), ("l", 29), ("l", 29)):
            await pilot.press(key)
            assert table.place == layer + 1
            assert f"layer {layer}, pca" in shown(app, "#layer-detail")
            drawn.append(shown(app, "#layer-detail"))
        assert len({text.partition("medians")[2] for text in drawn}) == 4
        points = sum(bin(ord(c) - 0x2800).count("1") for c in drawn[0] if "\u2800" < c < "\u28ff" and c != "⣿")
        assert points > 60, "most prompts have a dot of their own"
        await pilot.press("o")
        assert "pacmap" in shown(app, "#layer-detail").splitlines()[0].split("  ")[0]

    drive(make_app(tmp_path, host), steps, (120, 40))


def test_projections_in_ascii_tell_the_sets_apart_by_letters(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    fake_run.write_views(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_projection(pilot, app, host)
        picture = shown(app, "#layer-detail").partition("medians")[2]
        assert picture.isascii()
        rows = [line for line in picture.splitlines() if "x" in line or "o" in line]
        assert all(line.rfind("o") < line.find("x") for line in rows if "o" in line and "x" in line)
        assert "G" in picture
        assert "B" in picture

    drive(make_app(tmp_path, host, interface=Interface(ascii=True)), steps, (120, 40))


def test_the_geometry_is_moved_sideways_where_it_does_not_fit(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=2))
        await settle(pilot, app)
        await pilot.press("2", "m")
        table = app.screen.query_one(LineTable)
        assert [column.title for column in table.columns][:2] == ["layer", "S(g,b)"]
        await pilot.press(*["right"] * 20)
        assert [column.title for column in table.columns] == ["layer", "Silh"]
        await pilot.press("left")
        assert [column.title for column in table.columns] == ["layer", "|r*|", "Silh"]
        assert table.rows[-1].cells == ("29", "91.00", "0.500")
        await pilot.press("w")
        assert "Refusal lives in layers 17 to 21" in shown(app, "#layer-detail")
        await pilot.press("t", "k", "k")
        await pilot.pause()
        assert "'[bold]Unfortunately'" in shown(app, "#layer-detail"), "a token is no markup"
        assert "\x1b" not in shown(app, "#layer-detail")

    drive(make_app(tmp_path, host), steps, (80, 24))


def test_first_tokens_of_a_trial_are_asked_for_cancelled_and_shown(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=4))
        await settle(pilot, app)
        await pilot.press("g", "j", "2", "f")
        await app.workers.wait_for_complete()
        assert "f again finds out" in shown(app, "#layer-detail")
        assert host.commands() == [], "to look costs nothing"
        await pilot.press("f", "f")
        (asked,) = host.commands()
        assert isinstance(asked, Shift)
        assert asked.trial == 1
        assert "esc cancels" in shown(app, "#layer-detail")
        await pilot.press("escape")
        assert host.control is not None
        assert host.control.begin(asked).aborting
        host.push(ev.ShiftFound(trial=1, error="cancelled"))
        await settle(pilot, app)
        assert "f again finds out" in shown(app, "#layer-detail")
        await pilot.press("f")
        fake_run.write_shift(folder, 1)
        host.push(ev.ShiftFound(trial=1))
        await settle(pilot, app)
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "A forbidden thing number 0" in shown(app, "#layer-detail")

    drive(make_app(tmp_path, host), steps)


def test_directions_are_compared_with_another_runs(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    fake_run.write_directions(folder)
    fake_run.write_directions(tmp_path / "other", math.pi)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=2))
        await settle(pilot, app)
        await pilot.press("2", "c")
        assert app.screen.query_one(Input).value == "other", "the run that there is"
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "lowest at layer 29 (-1.000)" in shown(app, "#layer-detail")
        await pilot.press("c", *["backspace"] * 9, *"nobody", "enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "no run nobody" in shown(app, "#layer-detail")

    drive(make_app(tmp_path, host), steps)


def test_every_view_and_sentence_has_one_best_layer(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    rows = fake_run.analysis().layers
    for row in rows[1:]:  # Other figures are best elsewhere.
        changes = {"add": 9.0 if row.layer == 5 else 1.0, "stream": -6.0 if row.layer == 19 else -2.0}
        rows[row.index] = replace(
            row,
            separation=Separation(1.0 if row.layer == 3 else 0.9, 0.8, 1.0),
            effects={**row.effects, **{name: Effect(change) for name, change in changes.items()}},
        )
    sentence = where_refusal_lives(rows, FirstTokens((), bad=6.1, good=-5.2))
    assert set(re.findall(r"layer (\d+)", sentence)) == {"19"}
    assert [line.split()[0] for line in geometry_text(ev.LayersAnalysed(layers=rows)) if line.endswith("best")] == [
        "19"
    ]
    found = replace(fake_run.analysis(), layers=rows, sentence=sentence)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*(found if isinstance(event, ev.LayersAnalysed) else event for event in fake_run.story(trials=1)))
        await settle(pilot, app)
        await pilot.press("2")
        table = app.screen.query_one("#layer-table", LineTable)
        assert table.cursor == BEST
        for view in "wtm":
            await pilot.press(view)
            assert [row.key for row in table.rows if "*" in row.cells[0]] == [BEST]
            assert view == "m" or "layer 19 (the best)" in shown(app, "#layer-detail")

    drive(make_app(tmp_path, host), steps, (120, 40))

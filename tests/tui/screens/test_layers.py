"""The layers screen and its views."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input
from textual.worker import WorkerCancelled

from heretic_tui import events as ev
from heretic_tui.commands import Analyse, Shift
from heretic_tui.layer_figures import Effect, Separation
from heretic_tui.report.finding import finding
from heretic_tui.report.layers import geometry_text
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.glyphs import UNICODE
from heretic_tui.tui.messages import TweakFrom
from heretic_tui.tui.screens.run_choice import RunChoice
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import LineTable
from tests.support import fake_run
from tests.support.screens import drawn, drive, make_app, settle, shown, threads_end, told

# Residual index of the layer that fake_run.analysis makes the best.
BEST = 20
NARROW, NORMAL, HUGE = (80, 24), (120, 40), (200, 50)


def layer_table(app: HereticApp) -> LineTable:
    return app.screen.query_one("#layer-table", LineTable)


def title(app: HereticApp, pane: str) -> str:
    return str(app.screen.query_one(f"#{pane}", Frame).border_title)


def views(app: HereticApp) -> str:
    return shown(app, "#layer-views")


async def open_layers(pilot: Pilot[Any], app: HereticApp, host: fake_run.FakeHost, trials: int = 4) -> None:
    host.push(*fake_run.story(trials=trials))
    await settle(pilot, app)
    await pilot.press("2")
    await read(pilot, app)


async def read(pilot: Pilot[Any], app: HereticApp) -> None:
    """Wait until what is read on threads is painted. (What is read anew takes the place of what was begun.)"""
    for _ in range(3):
        with contextlib.suppress(WorkerCancelled):
            await threads_end(app)
    await pilot.pause()
    await pilot.pause()


def test_d_shows_the_directions_of_the_next_method(tmp_path: Path) -> None:
    host = fake_run.FakeHost()

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_layers(pilot, app, host)
        await pilot.press("d")
        assert title(app, "layers-pane") == "Layers", "of one method there is no next one"
        host.push(*fake_run.of_two_methods())
        await settle(pilot, app)
        assert title(app, "layers-pane") == "Layers: mean difference (1 of 2)"
        assert "stream" in [column.key for column in layer_table(app).columns]
        await pilot.press("d")
        await settle(pilot, app)
        assert title(app, "layers-pane") == "Layers: clusters (2 of 2)"
        keys = [column.key for column in layer_table(app).columns]
        row = layer_table(app).rows[2]
        assert row.cells[0].startswith("-"), "the mask is that of this method"
        assert row.cells[keys.index("auc")] == "0.500"
        change = fake_run.of_two_methods()[1].others["clusters"][BEST].change("stream")
        assert layer_table(app).rows[BEST].cells[keys.index("stream")] == f"{change:+.1f}", "measured with this one"
        await pilot.press("v")
        await settle(pilot, app)
        said = " ".join(shown(app, "#finding").split())
        assert "Directions of clusters (2 of 2; d: next method)." in said
        assert "Note: each layer has 2 directions: ablate and edit alone take out all of them" in said
        await pilot.press("v")
        await settle(pilot, app)
        assert title(app, "curves-pane").startswith("Log-odds change by layer: clusters (2 of 2)")
        await pilot.press("t")
        await read(pilot, app)
        assert "mean difference within 2 directions (clusters)" in title(app, "view-pane")
        await pilot.press("end")
        await settle(pilot, app)
        assert "Direction 2 of 2" in shown(app, "#view")
        await pilot.press("d")
        await settle(pilot, app)
        assert "Direction 2 of 2" not in shown(app, "#view")
        # A run of an older version, which tried the layers with the first one alone.
        host.push(*fake_run.of_two_methods(measured=False))
        await pilot.press("d", "escape")
        await read(pilot, app)
        assert title(app, "layers-pane") == "Layers: clusters (2 of 2)"
        assert "stream" not in [column.key for column in layer_table(app).columns]
        await pilot.press("v")
        await settle(pilot, app)
        said = " ".join(shown(app, "#finding").split())
        assert "changes was measured with those of mean_difference alone (older version)" in said

    drive(make_app(tmp_path, host), steps, NARROW)


def test_a_run_that_prepares_shows_what_is_known_so_far(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await pilot.press("2")
        host.push(
            *list(fake_run.preparation())[:3],
            ev.PhaseStarted(phase="residuals"),
            ev.Progress(stage="residuals of bad prompts", done=3, total=40),
        )
        await settle(pilot, app)
        said = shown(app, "#finding")
        assert "step 5 of 7, residuals" in said
        assert "3 of 40" in said
        assert "No directions yet." in drawn(app)
        host.push(fake_run.directions(), ev.PhaseStarted(phase="search"), *fake_run.trial(0))
        await settle(pilot, app)
        await pilot.pause()
        titles = [column.title for column in layer_table(app).columns]
        assert titles[:5] == ["layer", "|r|", "sep.", "kept", "cos"], "what the directions alone tell"
        assert len(layer_table(app).rows) == fake_run.LAYERS + 1
        said = " ".join(shown(app, "#finding").split())
        assert (
            "not been analysed yet: they will be when the search is done. a: analyse them now, between trials." in said
        )
        assert "Projection onto the direction" in said
        assert "sep." in shown(app, "#curves")
        host.push(ev.PhaseStarted(phase="layers"), ev.Progress(stage="each layer by itself", done=12, total=40))
        await settle(pilot, app)
        assert "The layers are being analysed." in shown(app, "#finding")
        assert "each layer by itself: 12 of 40" in shown(app, "#finding")
        host.push(fake_run.analysis())
        await settle(pilot, app)
        assert [column.title for column in layer_table(app).columns][:4] == ["layer", "AUC", "ablate", "add"]
        assert title(app, "finding-pane") == "Refusal is mediated in layers 15-22"

    drive(make_app(tmp_path, host), steps, NORMAL)


def without_analysis(trials: int) -> list[ev.Event]:
    return [event for event in fake_run.story(trials=trials) if not isinstance(event, ev.LayersAnalysed)]


def test_the_analysis_is_asked_for_cancelled_and_shown(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*without_analysis(2))
        await settle(pilot, app)
        await pilot.press("2")
        await read(pilot, app)
        assert "a analyse" in str(app.screen.query_one("#finding-pane", Frame).border_subtitle)
        assert "a: analyse them now" in shown(app, "#lens")
        await pilot.press("a", "a")
        (asked,) = host.commands()
        assert isinstance(asked, Analyse)
        await read(pilot, app)
        assert "the layers are analysed between trials; esc cancels" in " ".join(shown(app, "#finding").split())
        await pilot.press("escape")
        assert host.control is not None
        assert host.control.begin(asked).aborting
        host.push(ev.AnalysisEnded(error="cancelled"))
        await settle(pilot, app)
        assert "a: analyse them now" in shown(app, "#lens")
        await pilot.press("a")
        host.push(fake_run.analysis(), ev.AnalysisEnded())
        await settle(pilot, app)
        await read(pilot, app)
        assert layer_table(app).cursor == BEST
        assert "a analyse" not in str(app.screen.query_one("#finding-pane", Frame).border_subtitle)
        assert len(host.commands()) == 1
        await pilot.press("a")
        assert host.commands() == [], "it has been made"

    drive(make_app(tmp_path, host), steps, NORMAL)


@pytest.mark.parametrize("view", ["w", "t", "o", "m"])
@pytest.mark.parametrize("alive", [True, False])
def test_each_view_says_how_the_analysis_is_had(tmp_path: Path, folder: Path, view: str, alive: bool) -> None:
    host = fake_run.FakeHost(folder, watched=not alive)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.alive = alive
        host.push(*without_analysis(2))
        await settle(pilot, app)
        await pilot.press("2", view)
        await read(pilot, app)
        said = " ".join((drawn(app) if view == "m" else shown(app, "#view")).split())
        assert ("when the search is done" if alive else "R on Runs (0) resumes this run") in said
        await pilot.press("n")
        await settle(pilot, app)

    drive(make_app(tmp_path, host), steps, HUGE)


def test_table_finding_curves_and_logit_lens_are_seen_at_once(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_layers(pilot, app, host)
        table = layer_table(app)
        assert table.cursor == BEST, "it begins at the best layer"
        assert [column.title for column in table.columns][:4] == ["layer", "AUC", "ablate", "add"]
        assert table.columns[-1].title == "edit(0)"
        assert any(set(row.cells[-1]) & set("█▏▎▍▌▋▊▉") for row in table.rows), "the edit as a bar"
        said = " ".join(shown(app, "#finding").split())
        for sentence in finding(fake_run.analysis().layers, fake_run.analysis().refusal).points:
            assert f"• {sentence}" in said
        assert "Mean norm: harmless 70.00, harmful 72.33" in said
        borders = [str(frame.border_subtitle) for frame in app.screen.query(Frame)]
        assert any("t tokens · o map · m geometry · c compare: choose a run" in words for words in borders)
        assert any("h layer before · l next layer" in words for words in borders)
        assert title(app, "lens-pane") == "Layer 19 direction, logit lens; promotes / suppresses"
        assert "'Sorry'" in shown(app, "#lens")
        assert "\x1b" not in shown(app, "#lens")
        curves = shown(app, "#curves")
        assert all(name in curves for name in ("ablate", "add", "edit alone", "AUC"))
        assert any("\u2801" <= glyph <= "\u28ff" for glyph in curves), "in braille"

    drive(make_app(tmp_path, host), steps, NORMAL)


def test_one_line_at_the_selected_layer_moves_with_the_cursor(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_layers(pilot, app, host)
        places = []
        for key in ("j", "right", "l", "k"):
            await pilot.press(key)
            lines = shown(app, "#curves").splitlines()
            at = {line.index(UNICODE.at) for line in lines if UNICODE.at in line}
            assert len(at) == 1, "one line through all panels"
            layer = layer_table(app).place - 1
            assert str(layer) in lines[-1][min(at) - 2 : min(at) + 3]
            assert f"Layer {layer} direction" in title(app, "lens-pane")
            places.append(at.pop())
        assert places[0] < places[1] < places[2]
        assert places[3] == places[1]
        await pilot.press("g")
        assert UNICODE.at not in shown(app, "#curves"), "the embedding output is no layer"

    drive(make_app(tmp_path, host), steps, HUGE)


def test_a_narrow_terminal_shows_one_pane_at_a_time(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    fake_run.write_views(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_layers(pilot, app, host)
        for key, views_of_key in (
            ("v", ["table", "finding", "curves", "importance"]),
            (
                "V",
                [
                    "table",
                    "compare",
                    "cosines",
                    "shift",
                    "geometry",
                    "map",
                    "tokens",
                    "importance",
                    "curves",
                    "finding",
                ],
            ),
        ):
            seen = []
            for _ in views_of_key:
                frames = [frame for frame in app.screen.query(Frame) if frame.size.width]
                assert len(frames) == 1
                seen.append(views(app).partition("[")[2].partition("]")[0])
                await pilot.press(key)
                await read(pilot, app)
            assert seen == views_of_key
            assert "[table]" in views(app), "round again"
        await pilot.press("f")
        await read(pilot, app)
        assert "[shift]" in views(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "[table]" in views(app)
        assert app.screen.focused is layer_table(app)

    drive(make_app(tmp_path, host), steps, NARROW)


def test_a_view_lies_beside_the_table_and_esc_leads_back(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_layers(pilot, app, host)
        for key, name, words in (
            ("w", "importance", "Change of the refusal log-odds, with its standard error"),
            ("t", "tokens", "'[bold]Unfortunately'"),
            ("s", "cosines", "nearest other directions by cosine: 18 ("),
            ("f", "first-token shift", "Press f again to measure it (one pass over the evaluation prompts"),
        ):
            await pilot.press(key)
            await read(pilot, app)
            assert f"[{name}]" in views(app)
            assert words in shown(app, "#view")
            assert not app.screen.query_one("#finding-pane").display
            assert app.screen.focused is layer_table(app), "the keys go on walking through the layers"
        await pilot.press("w", "k")
        assert title(app, "view-pane") == "Layer 18"
        await pilot.press("escape")
        await pilot.pause()
        assert "[overview]" in views(app)
        assert app.screen.query_one("#finding-pane").display

    drive(make_app(tmp_path, host), steps, NORMAL)


def test_the_keys_work_after_the_terminal_has_another_size(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_layers(pilot, app, host)
        await pilot.press("w")
        await read(pilot, app)
        for size in (NARROW, HUGE, NORMAL):
            await pilot.resize_terminal(*size)
            await read(pilot, app)
            assert "[importance]" in views(app)
            assert app.screen.focused is not None
            before = layer_table(app).place
            await pilot.press("left")
            assert layer_table(app).place == before - 1
        lines = shown(app, "#view").splitlines()
        width = app.screen.query_one("#view").size.width
        assert width - 12 < max(map(len, lines)) <= width, "the text is made for the size that it has now"
        assert app.screen.focused is layer_table(app)

    drive(make_app(tmp_path, host), steps, NORMAL)


def test_a_click_on_a_view_shows_it(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_layers(pilot, app, host)
        await pilot.click("#layer-views", offset=(views(app).index("importance") + 1, 0))
        await pilot.pause()
        assert "[importance]" in views(app)

    drive(make_app(tmp_path, host), steps, NORMAL)


def test_n_goes_from_peak_to_peak(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    rows = fake_run.analysis().layers
    for layer, change in ((4, -5.0), (12, -7.0), (19, -9.0), (27, -0.1)):
        changes = {"stream": Effect(change), "add": Effect(0.0), "edit": Effect(0.0)}
        rows[layer + 1] = replace(rows[layer + 1], effects=changes)
    found = replace(fake_run.analysis(), layers=rows)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*(found if isinstance(event, ev.LayersAnalysed) else event for event in fake_run.story(trials=1)))
        await settle(pilot, app)
        await pilot.press("2", "g")
        seen = []
        for _ in range(4):
            await pilot.press("n")
            seen.append(layer_table(app).place - 1)
        assert seen == [4, 12, 19, 4]

    drive(make_app(tmp_path, host), steps, NORMAL)


def points(picture: str) -> int:
    return sum(bin(ord(c) - 0x2800).count("1") for c in picture if "\u2800" < c <= "\u28ff")


def test_layers_are_walked_with_the_arrow_keys_and_the_map_follows(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    fake_run.write_views(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_layers(pilot, app, host)
        await pilot.press("o")
        await read(pilot, app)
        await pilot.press("G")
        pictures = []
        for key, layer in (("left", 28), ("h", 27), ("up", 26), ("right", 27), ("down", 28), ("l", 29), ("l", 29)):
            await pilot.press(key)
            assert layer_table(app).place == layer + 1
            assert title(app, "view-pane").startswith(f"Layer {layer}, map by pca")
            pictures.append(shown(app, "#view").partition("\n")[2])
        assert len(set(pictures)) == 4
        assert points(pictures[0]) > 60, "most prompts have a dot of their own"
        assert "harmless (60)" in shown(app, "#view")
        await pilot.press("o")
        assert "map by pacmap" in title(app, "view-pane")

    drive(make_app(tmp_path, host), steps, NORMAL)


def test_a_wide_terminal_has_the_map_beside_the_curves(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    fake_run.write_views(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_layers(pilot, app, host)
        assert points(shown(app, "#map")) > 60
        assert "has not been measured" in shown(app, "#shift")
        assert "mlp.down" in shown(app, "#curves"), "the edit of the selected trial, on the axis of the others"
        assert {"|r|", "sep.", "kept"} <= {column.title for column in layer_table(app).columns}
        assert "30 layers, 60 harmless and 60 harmful prompts" in views(app)

    drive(make_app(tmp_path, host), steps, HUGE)


@pytest.mark.parametrize("size", [NARROW, NORMAL, HUGE])
def test_in_ascii_no_view_has_another_character(tmp_path: Path, folder: Path, size: tuple[int, int]) -> None:
    host = fake_run.FakeHost(folder)
    fake_run.write_views(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_layers(pilot, app, host)
        panels = ("finding", "curves", "view", "lens", "map", "shift")
        for _ in range(10):
            for name in panels:
                text = shown(app, f"#{name}")
                assert text.isascii(), (name, views(app), [c for c in text if not c.isascii()])
            assert all(cell.isascii() for row in layer_table(app).rows for cell in row.cells)
            await pilot.press("v")
            await read(pilot, app)
        await pilot.press("o")
        await read(pilot, app)
        picture = shown(app, "#view").partition("both")[2]
        rows = [line for line in picture.splitlines() if "x" in line or "o" in line]
        assert all(line.rfind("o") < line.find("x") for line in rows if "o" in line and "x" in line)
        assert "O" in picture
        assert "X" in picture

    drive(make_app(tmp_path, host, interface=Interface(ascii=True)), steps, size)


def test_the_geometry_is_moved_sideways_where_it_does_not_fit(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_layers(pilot, app, host)
        await pilot.press("m")
        await pilot.pause()
        table = layer_table(app)
        assert title(app, "layers-pane") == "Residual geometry"
        assert [column.title for column in table.columns][:2] == ["layer", "S(g,b)"]
        await pilot.press(*["right"] * 20)
        assert [column.title for column in table.columns] == ["layer", "Silh"]
        await pilot.press("left")
        assert [column.title for column in table.columns] == ["layer", "|r*|", "Silh"]
        assert table.rows[-1].cells == ("29", "91.00", "0.500")
        await pilot.press("t", "k", "k")
        await pilot.pause()
        assert "'[bold]Unfortunately'" in shown(app, "#view"), "a token is no markup"
        assert "\x1b" not in shown(app, "#view")

    drive(make_app(tmp_path, host), steps, NARROW)


def test_first_tokens_of_a_trial_are_asked_for_cancelled_and_shown(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=4))
        await settle(pilot, app)
        await pilot.press("g", "j", "2", "f")
        await read(pilot, app)
        assert title(app, "view-pane") == "First-token shift of trial 1"
        assert "Press f again to measure it" in shown(app, "#view")
        assert host.commands() == [], "to look costs nothing"
        await pilot.press("f", "f")
        (asked,) = host.commands()
        assert isinstance(asked, Shift)
        assert asked.trial == 1
        assert "esc cancels" in shown(app, "#view")
        await pilot.press("escape")
        assert host.control is not None
        assert host.control.begin(asked).aborting
        host.push(ev.ShiftFound(trial=1, error="cancelled"))
        await settle(pilot, app)
        assert "Press f again to measure it" in shown(app, "#view"), "and the view stays"
        await pilot.press("f")
        fake_run.write_shift(folder, 1)
        host.push(ev.ShiftFound(trial=1))
        await settle(pilot, app)
        await read(pilot, app)
        assert "A forbidden thing number 0" in shown(app, "#view")
        assert "harmful evaluation prompts" in shown(app, "#view")

    drive(make_app(tmp_path, host), steps)


def test_the_run_to_compare_with_is_chosen_from_a_list_or_typed(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    fake_run.write_directions(folder)
    fake_run.write_directions(tmp_path / "other", math.pi)
    fake_run.write_directions(tmp_path / "second", 0.1)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=2))
        await settle(pilot, app)
        await pilot.press("2", "c")
        await read(pilot, app)
        assert isinstance(app.screen, RunChoice)
        rows = app.screen.query_one("#choices", LineTable).rows
        assert [row.cells for row in rows[:-1]] == [("other", "acme/other"), ("second", "acme/second")]
        await pilot.press("enter")
        await read(pilot, app)
        assert title(app, "view-pane") == "Compared with other"
        assert "lowest at layer 29 (-1.000)" in " ".join(shown(app, "#view").split())
        await pilot.press("c")
        await read(pilot, app)
        await pilot.press("slash")
        await pilot.pause()
        assert app.screen.query_one(Input).has_focus
        await pilot.press(*"nobody", "enter")
        await read(pilot, app)
        assert "no run nobody" in shown(app, "#view")
        await pilot.press("c")
        await read(pilot, app)
        await pilot.press("escape")
        assert "no run nobody" in shown(app, "#view"), "esc changes nothing"

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
    found = replace(fake_run.analysis(), layers=rows)
    said = geometry_text(found)
    assert [line.split()[0] for line in said if line.endswith("  *")] == ["19"]
    assert any("best layer: 19," in line for line in said)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*(found if isinstance(event, ev.LayersAnalysed) else event for event in fake_run.story(trials=1)))
        await settle(pilot, app)
        await pilot.press("2")
        await read(pilot, app)
        table = layer_table(app)
        assert table.cursor == BEST
        assert "best layer: 19," in " ".join(shown(app, "#finding").split())
        assert "Layer 19 * (best)" in shown(app, "#finding")
        for view in "wtm":
            await pilot.press(view)
            await pilot.pause()
            assert [row.key for row in table.rows if "*" in row.cells[0]] == [BEST]
            assert view != "w" or title(app, "view-pane") == "Layer 19 * (best)"
        await pilot.press("escape", "j")
        assert "best)" not in shown(app, "#finding")

    drive(make_app(tmp_path, host), steps, NORMAL)


def test_x_asks_to_tweak_the_selected_trial(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        asked: list[object] = []
        ask: Callable[[Any], bool] = app.post_message

        def post(message: Any) -> bool:
            if isinstance(message, TweakFrom):
                asked.append(message.trial)
                return True
            return ask(message)

        monkeypatch.setattr(app, "post_message", post)
        host.push(*fake_run.preparation())
        await settle(pilot, app)
        await pilot.press("2", "x")
        await pilot.pause()
        assert "when the trial has been measured" in told(app)[0]
        host.push(*fake_run.trial(3))
        await settle(pilot, app)
        await pilot.press("x")
        assert asked == [3]

    drive(make_app(tmp_path, host), steps, NORMAL)


def test_y_copies_the_table(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_layers(pilot, app, host)
        await pilot.press("y")
        await pilot.pause()
        lines = app.clipboard.split("\n")
        assert lines[0].split("\t")[:3] == ["layer", "AUC", "ablate"]
        assert lines[BEST + 1].split("\t")[:3] == ["* 19", "0.900", "-8.9"]

    drive(make_app(tmp_path, host), steps, NORMAL)

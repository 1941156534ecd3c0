"""The trials screen: table, scatter and detail over a host with a script."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import Static

from heretic_tui import events as ev
from heretic_tui.figures import Figure, figures_of_before
from heretic_tui.run.annotations import Annotations
from heretic_tui.run.folder import RunFolder
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.screens.compare import CompareScreen
from heretic_tui.tui.screens.trials_table import ORIGINAL
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.pareto_plot import ParetoPlot
from tests.support import fake_run
from tests.support.screens import drawn, drive, make_app, settle, shown, told


def cell(table: LineTable, key: object, column: str) -> str:
    """What a line of the table has in a column."""
    place = [each.key for each in table.columns].index(column)
    return next(row for row in table.rows if row.key == key).cells[place]


def text_of(widget: LineTable | ParetoPlot) -> list[str]:
    """The lines that a widget draws."""
    return ["".join(segment.text for segment in widget.render_line(y)) for y in range(widget.size.height)]


def finished(number: int, kl: float, refusals: int | None, **more: Any) -> list[ev.Event]:
    """One trial from its start to its end."""
    figures = {"kl_divergence": kl} if refusals is None else {"kl_divergence": kl, "refusals": refusals}
    told = {"state": "complete", "figures": figures, "prompts": 100, **more}
    return [
        ev.TrialStarted(number=number, parameters=fake_run.parameters(number)),
        ev.TrialFinished(number=number, **told),
    ]


def dominated(number: int, kl: float, at_least: int, estimate: float | None) -> list[ev.Event]:
    estimates = {} if estimate is None else {"refusals": estimate}
    return finished(number, kl, None, state="dominated", at_least={"refusals": at_least}, estimate=estimates)


def test_trials_come_in_and_table_and_plot_share_a_cursor(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=10))
        await settle(pilot, app)
        table, plot = app.screen.query_one("#trial-table", LineTable), app.screen.query_one(ParetoPlot)
        assert [row.key for row in table.rows] == [ORIGINAL, *range(11)]
        assert cell(table, 10, "time") == "running"
        assert cell(table, 10, "kl") == "0.2100", "KL is shown before the refusals are counted"
        await pilot.press("g", "j", "j")
        assert (table.cursor, plot.cursor, app.view.selected_trial) == (2, 2, 2)
        assert "Trial 2" in str(app.screen.query_one("#detail-pane").border_title)
        await pilot.press("tab", "l")
        assert plot.has_focus
        assert plot.cursor != 2
        assert table.cursor == plot.cursor == app.view.selected_trial

    drive(make_app(tmp_path, host), steps)


def test_the_cursor_stays_on_its_trial_when_the_order_changes(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=20))
        await settle(pilot, app)
        table = app.screen.query_one("#trial-table", LineTable)
        await pilot.press("g", *"jjjjj")
        assert table.cursor == 5
        for key in ("s", "r", "s", "r"):
            await pilot.press(key)
            assert table.cursor == 5
        while "by refused" not in shown(app, "#filter-words"):
            await pilot.press("s")
        trials = [app.view.state.trials[int(str(row.key))] for row in table.rows if row.key != ORIGINAL]
        refusals = [{**t.at_least, **t.figures}.get("refusals") for t in trials]
        known = [r for r in refusals if r is not None]
        assert refusals[: len(known)] == known, "what has no value comes last"

    drive(make_app(tmp_path, host), steps)


def test_filter_and_go_to(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=30))
        await settle(pilot, app)
        table = app.screen.query_one("#trial-table", LineTable)
        await pilot.press("slash", *"front kl<0.3", "enter")
        front = {t.number for t in app.view.state.front() if t.figures["kl_divergence"] < 0.3}
        assert {row.key for row in table.rows} == front
        await pilot.press("slash", *" nonsense")
        assert "nonsense" in shown(app, "#filter-words")
        assert {row.key for row in table.rows} == front, "a wrong word changes nothing"
        await pilot.press("escape")
        assert len(table.rows) == 32
        await pilot.press("number_sign", "2", "7", "enter")
        assert table.cursor == 27
        await pilot.press("number_sign", "9", "9", "enter", "escape")
        assert table.cursor == 27

    drive(make_app(tmp_path, host), steps)


def test_a_trial_that_is_overtaken_is_not_said_to_be_on_the_front(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.preparation(), *finished(0, 0.2, 30), *finished(1, 0.3, 25))
        await settle(pilot, app)
        await pilot.press("g")
        assert "on the front" in shown(app, "#detail")
        host.push(*finished(2, 0.1, 20))
        await settle(pilot, app)
        assert app.view.selected_trial == 0
        assert "on the front" not in shown(app, "#detail")

    drive(make_app(tmp_path, host), steps)


def test_a_dominated_trial_shows_the_figure_that_decides_its_place(tmp_path: Path, folder: Path) -> None:
    # Those on the front are further apart than chance makes.
    fake_run.write_responses(folder, 0, 40)
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        early = [*finished(0, 0.1, 10), *finished(1, 0.2, 5)]
        host.push(*fake_run.preparation(), *early, *dominated(2, 0.3, 0, 7.4), *dominated(3, 0.4, 6, None))
        await settle(pilot, app)
        table, plot = app.screen.query_one("#trial-table", LineTable), app.screen.query_one(ParetoPlot)
        await pilot.press("s")
        assert [(row.key, cell(table, row.key, "refusals")) for row in table.rows] == [
            (ORIGINAL, "91/100"), (1, "5/100"), (3, "≥6/100"), (2, "≈7/100"), (0, "10/100")
        ]  # fmt: skip
        assert cell(table, 2, "time") == "cut short"
        assert {point.number: point.y for point in plot.points} == {0: 10, 1: 5, 2: 7, 3: 6}
        table.go_to(2)
        await pilot.pause()
        assert "refused about 7.4 of 100, at least 0 (original: 91)" in shown(app, "#detail")
        told = [line.text for line in app.view.log_lines.lines if " KL " in line.text]
        assert [re.search(r"refusals +(\S+)", line)[1] for line in told] == ["10/100", "5/100", "≈7/100", "≥6/100"]  # type: ignore[index]

    drive(make_app(tmp_path, host), steps)


def test_what_is_done_is_counted_also_where_it_is_more_than_was_planned(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=20, n_trials=60))
        await settle(pilot, app)
        assert "20 of 60 done, 1 running" in shown(app, "#filter-words")
        host.push(ev.TargetChanged(n_trials=10))
        await settle(pilot, app)
        assert "20 done, 10 planned" in shown(app, "#filter-words")

    drive(make_app(tmp_path, host), steps)


def test_a_trials_screen_without_trials_says_what_it_waits_for(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    app = make_app(tmp_path)

    def words(app: HereticApp) -> str:
        table = app.screen.query_one("#trial-table", LineTable)
        return "".join(segment.text for segment in table.render_line(1)).strip()

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await pilot.press("3")
        assert words(app) == "No run is open: 1 sets one up."
        app.show_run(host)
        host.push(*list(fake_run.preparation())[:2], ev.PhaseStarted(phase="response prefix"))
        await settle(pilot, app)
        assert "3 finding the response prefix" in shown(app, "#steps")
        host.alive = False
        await settle(pilot, app)
        assert words(app) == "This run ended before its first trial."
        host.push(*finished(0, 0.1, 10))
        await settle(pilot, app)
        await pilot.press("slash", *"kl>5", "enter")
        assert words(app) == "No trial fits the filter; esc takes it away."

    drive(app, steps)


def test_a_long_wrong_filter_wraps_and_is_read_to_its_end(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        await pilot.press("slash", *"refusal<")
        await pilot.pause()
        words = app.screen.query_one("#filter-words", Static)
        assert str(words.visual).endswith("stopped")
        needed = len(Text(str(words.visual)).wrap(app.console, words.size.width))
        assert words.size.height == needed > 1
        assert "/ filter" not in shown(app, "#key-bar"), "it would be typed"
        host.push(*finished(9, 0.1, 10))
        await settle(pilot, app)
        assert str(words.visual).endswith("stopped"), "a trial that ends takes it away from nobody"
        await pilot.press("enter")
        assert app.screen.query_one("#filter").has_focus, "what is wrong is not taken"
        await pilot.press("escape")
        await pilot.pause()
        assert words.size.height == 1

    drive(make_app(tmp_path, host), steps, (60, 24))


@pytest.mark.parametrize("width", [66, 67, 102, 120])
def test_the_scroll_bar_takes_no_column_away(tmp_path: Path, folder: Path, width: int) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        table = app.screen.query_one("#trial-table", LineTable)
        before = [column.key for column, _ in table.shown_columns()]
        host.push(*[event for number in range(3, 60) for event in fake_run.trial(number)])
        await settle(pilot, app)
        assert table.show_vertical_scrollbar
        after = table.shown_columns()
        assert [column.key for column, _ in after] == before
        used = sum(width for _, width in after) + len(after) - 1
        assert used <= table.scrollable_content_region.width

    drive(make_app(tmp_path, host), steps, (width, 24))


def test_words_never_lie_over_points_of_the_scatter(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        # Along the upper edge of the plot, where its title once was.
        trials = [event for number in range(40) for event in finished(number, 0.01 * number, 100)]
        host.push(*fake_run.preparation(), *trials)
        await settle(pilot, app)
        plot = app.screen.query_one(ParetoPlot)
        top = "".join(segment.text for segment in plot.render_line(0))
        assert "100" in top
        assert not any(character.isalpha() for character in top)
        assert "refusals over KL divergence" in "\n".join(text_of(plot))

    drive(make_app(tmp_path, host), steps, (150, 45))


def test_the_steps_before_the_search_stand_in_place_of_the_trials(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        assert "Starting" in shown(app, "#steps")
        host.push(
            *list(fake_run.preparation())[:5],
            ev.PhaseStarted(phase="batch size"),
            ev.Progress(stage="batch size", done=3, total=12, seconds_left=9.0),
        )
        await settle(pilot, app)
        lines = shown(app, "#steps").splitlines()
        assert [line[0] for line in lines[:4]] == ["✓", "▶", " ", " "]
        assert lines[1].startswith("▶ 2 finding the batch size")
        assert "3/12" in lines[1]
        assert lines[6].strip() == "7 searching: 60 trials"
        assert "LlamaForCausalLM, 30 layers" in shown(app, "#found")
        assert not app.screen.query_one("#trial-table").is_on_screen
        assert "0" not in drawn(app).split("Found out so far")[0].split("Preparing")[1].replace("60 trials", "")
        host.push(*list(fake_run.preparation())[5:], *finished(0, 0.1, 10))
        await settle(pilot, app)
        assert app.screen.query_one("#trial-table").has_focus
        assert not app.screen.query_one("#steps").is_on_screen

    drive(make_app(tmp_path, host), steps, (120, 40))


def test_the_mark_of_a_trial_its_tags_and_its_note_are_kept_shown_and_taken_back(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=10))
        await settle(pilot, app)
        table = app.screen.query_one("#trial-table", LineTable)
        title = app.screen.query_one("#detail-pane")
        await pilot.press("g", "j", "m")
        assert cell(table, 1, "mark") == "★"
        assert "★1" in str(app.screen.query_one("#trials-pane").border_title)
        await pilot.press("t", *"mild, keep", "tab", *"keeps style", "enter")
        await settle(pilot, app)
        assert app.view.annotations.tags(1) == ("mild", "keep")
        assert cell(table, 1, "tags") == "mild keep"
        assert 'Trial 1 ◆ ★ "keeps style"' in str(title.border_title)
        assert Annotations(RunFolder(folder)).refresh(), "another process reads it"
        await pilot.press("slash", *"tag:mild", "enter")
        assert [row.key for row in table.rows] == [1]
        await pilot.press("escape", "t", "ctrl+u", *"no/tag", "enter")
        assert "a tag is one word" in shown(app, "#problem")
        await pilot.press("escape", "m")
        assert not app.view.annotations.marked(1)
        await pilot.press("u")
        assert app.view.annotations.marked(1), "the mark that was taken away comes back"
        await pilot.press("u")
        assert (app.view.annotations.tags(1), app.view.annotations.note(1)) == ((), "")
        await pilot.press("u", "u")
        assert not app.view.annotations.marked(1)
        assert "no mark, tag or note" in told(app)[0]

    drive(make_app(tmp_path, host), steps, (200, 50))


def test_the_original_model_stands_above_the_trials_and_can_be_chosen(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=10))
        await settle(pilot, app)
        table = app.screen.query_one("#trial-table", LineTable)
        for _ in range(3):
            await pilot.press("s")
            assert table.rows[0].key == ORIGINAL
        assert cell(table, ORIGINAL, "refusals") == "91/100"
        await pilot.press("g")
        assert table.place == 1, "the first trial, not the line above the list"
        selected = app.view.selected_trial
        await pilot.press("k")
        assert "Original model" in str(app.screen.query_one("#detail-pane").border_title)
        assert app.view.selected_trial == selected
        await pilot.press("m")
        assert not app.view.annotations.marks
        for action in ("export", "mark", "annotate", "chat"):
            assert not app.screen.works(action)  # type: ignore[attr-defined]
        await pilot.press("enter")
        assert isinstance(app.screen, CompareScreen)

    drive(make_app(tmp_path, host), steps)


def test_columns_are_those_of_the_settings_and_a_wrong_name_is_told(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    interface = Interface(columns={"trials": ["trial", "note", "refusal", "kl"]})

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=10))
        await settle(pilot, app)
        table = app.screen.query_one("#trial-table", LineTable)
        assert [column.key for column in table.columns] == ["trial", "note", "kl"]
        assert told(app) == ["The table of trials has no column 'refusal': did you mean 'refusals'?"]

    drive(make_app(tmp_path, host, interface=interface), steps)


def test_broken_responses_have_a_column_as_soon_as_there_are_any(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    broken = Figure("broken responses", "broken", counted=True, verb="breaks", participle="broken", key="broken")
    began, *rest = fake_run.preparation()
    assert isinstance(began, ev.RunOpened)
    began = dataclasses.replace(began, figures=[*figures_of_before(), broken])

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(began, *rest, *finished(0, 0.1, 7, figures={"kl_divergence": 0.1, "refusals": 7, "broken": 0}))
        await settle(pilot, app)
        table = app.screen.query_one("#trial-table", LineTable)
        assert "broken" not in [column.key for column in table.columns]
        assert "broken" not in shown(app, "#detail")
        host.push(*finished(1, 0.1, 7, figures={"kl_divergence": 0.1, "refusals": 7, "broken": 5}))
        await settle(pilot, app)
        assert [cell(table, number, "broken") for number in (0, 1)] == ["0/100", "5/100"]
        await pilot.press("tab", "shift+tab", "G")
        await settle(pilot, app)
        assert "broken 5 of 100" in shown(app, "#detail")

    drive(make_app(tmp_path, host), steps)


def test_the_scatter_has_the_original_model_what_a_filter_leaves_out_and_a_legend(tmp_path: Path) -> None:
    # Without answers no trial is found to be within chance of the selected one, which is another sign.
    (tmp_path / "run").mkdir()
    host = fake_run.FakeHost(tmp_path / "run")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        trials = [*finished(0, 0.1, 10), *finished(1, 0.2, 40), *dominated(2, 0.3, 20, 50.0)]
        host.push(*fake_run.preparation(), *trials)
        host.push(ev.TrialStarted(number=3, parameters=fake_run.parameters(3)))
        host.push(ev.Measured(number=3, metric="kl_divergence", value=0.25))
        await settle(pilot, app)
        plot = app.screen.query_one(ParetoPlot)
        await pilot.press("number_sign", "1", "enter")
        await settle(pilot, app)
        lines = text_of(plot)
        legend = " ".join(" ".join(lines[-3:]).split())
        for words in ("◆ on the front", "○ beaten", "◌ cut short", "★ marked", "+ selected", "▲ running"):
            assert words in legend
        drawn_points = "".join(lines[:-4])
        assert {glyph for glyph in "◆○◌+□▲" if glyph in drawn_points} == set("◆◌+□▲"), "trial 1 is under the cursor"
        assert "by hand" not in legend
        await pilot.press("m", "slash", *"front", "enter")
        assert {point.number: point.left_out for point in plot.points} == {0: False, 1: True, 2: True}
        assert "left out by the filter" in " ".join(text_of(plot))

    drive(make_app(tmp_path, host), steps, (150, 45))


def test_zoom_and_scale_of_the_scatter_stay_with_the_run(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        trials = [*finished(0, 0.02, 60), *finished(1, 0.1, 10), *finished(2, 5.0, 90), *finished(3, 0.11, 12)]
        host.push(*fake_run.preparation(), *trials)
        await settle(pilot, app)
        plot = app.screen.query_one(ParetoPlot)

        def places() -> set[tuple[int, int]]:
            return {plot._at(point) for point in plot.points if point.front}

        (first, *_), all_of_it = sorted(places()), places()
        await pilot.press("z")
        assert len({x for x, _ in places()}) == 2, "the front fills the width"
        assert max(x for x, _ in places()) - first[0] > 20 > max(x for x, _ in all_of_it) - first[0]
        assert "zoom: the front" in str(app.screen.query_one("#front-pane").border_title)
        await pilot.press("tab", "l")
        assert app.view.selected_trial in (0, 1), "what is outside is passed over"
        await pilot.press("escape", "z", "o")
        look = plot.look
        assert (look.zoom, look.logarithmic) == ("selected", True)
        app.screen.paint_all()  # type: ignore[attr-defined]
        assert plot.look == look
        await pilot.press("z", "o")
        assert places() == all_of_it

    drive(make_app(tmp_path, host), steps, (150, 45))


def test_panes_without_room_take_turns(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        def shows(*names: str) -> bool:
            panes = ("trials", "front", "progress", "answers", "detail")
            seen = {name for name in panes if app.screen.query_one(f"#{name}-pane").is_on_screen}
            return seen == set(names)

        host.push(*fake_run.story(trials=30))
        await settle(pilot, app)
        for size, turns in (
            ((80, 24), [("trials",), ("front",), ("detail",), ("progress",), ("answers",)]),
            ((120, 40), [("trials", "front", "detail"), ("trials", "progress", "detail")]),
            ((150, 45), [("trials", "front", "progress", "detail"), ("trials", "front", "answers", "detail")]),
            ((200, 50), [("trials", "front", "progress", "answers", "detail")]),
        ):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            for names in turns:
                assert shows(*names), (size, names)
                await pilot.press("v")
                await pilot.pause()
            while not shows(*turns[0]):
                await pilot.press("v")
                await pilot.pause()

    drive(make_app(tmp_path, host), steps, (80, 24))


def test_the_progress_of_the_search_is_told(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.preparation(n_trials=200), *finished(0, 0.04, 30), *finished(1, 0.3, 2))
        host.push(*[event for number in range(2, 23) for event in finished(number, 0.5, 60)])
        await settle(pilot, app)
        words = shown(app, "#progress")
        assert re.search(r"hypervolume +0\.\d{3} +[▁▂▃▄▅▆▇█]+", words)
        assert "of refused 91 x KL 1" in words
        assert re.search(r"KL<0.05 30 .*trial 0\n +KL<0.1 30 .*trial 0\n +KL<0.5 2 .*trial 1\n", words)
        assert "The front has not moved for 21 trials" not in words, "those drawn at random have not ended"
        host.push(*[event for number in range(23, 70) for event in finished(number, 0.5, 60)])
        await settle(pilot, app)
        assert "The front has not moved for 68 trials (S stops)." in shown(app, "#progress")

    drive(make_app(tmp_path, host), steps, (150, 45))


def test_what_has_been_judged_of_a_trial_in_hand_is_counted_in_its_line(tmp_path: Path, folder: Path) -> None:
    # Further from the selected trial than chance makes.
    fake_run.write_responses(folder, 3, 40)
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        host.push(ev.TrialStarted(number=4, parameters=fake_run.parameters(4)))
        await settle(pilot, app)
        table = app.screen.query_one("#trial-table", LineTable)
        assert cell(table, 3, "refusals") == ""
        judged = [ev.Judged(3, 4, 31), ev.Judged(4, 0, 2), ev.Judged(99, 1, 1)]
        host.push(ev.Progress(stage="refusals of 2 trials", done=33, total=200, judged=judged))
        await settle(pilot, app)
        assert (cell(table, 3, "refusals"), cell(table, 4, "refusals")) == ("4/31", "0/2")
        host.push(*finished(3, 0.1, 10)[1:])
        await settle(pilot, app)
        assert cell(table, 3, "refusals") == "10/100"

    drive(make_app(tmp_path, host), steps, (120, 40))

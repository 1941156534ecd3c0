"""The trials screen: table, scatter and detail over a host with a script."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import Static

from heretic_tui import events as ev
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.screens.trials_table import ORIGINAL
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.pareto_plot import ParetoPlot
from tests.support import fake_run
from tests.support.screens import drive, make_app, settle, shown


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
        assert words(app).startswith("No trials yet. Preparing: step 3 of 8, response prefi")
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

"""A second round on the screens: Setup begins with one on top of the selected trial, and Trials shows its start."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import Input

from heretic_tui import events as ev
from heretic_tui.run.folder import RunFolder
from heretic_tui.settings.record import to_record
from heretic_tui.settings.sources import load_settings
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.screens.trials_table import ORIGINAL, START
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.pareto_plot import ParetoPlot
from tests.support import fake_run
from tests.support.runs import append
from tests.support.screens import drive, make_app, settle, shown, threads_end, told


def first_round(path: Path) -> RunFolder:
    """A run at work: trial 0 is measured in full, trial 5 is cut short, trial 16 has failed, trial 17 is in hand; trial
    18 was screened."""
    run = RunFolder(path)
    fake_run.write_directions(path)
    given = {"model": "acme/guarded-8b", "n_trials": 33, "seed_trials": ["built-in"], "behaviour": "refusals"}
    settings = to_record(load_settings(given, environment=False))
    run.save_record(dataclasses.replace(run.read_record(), settings=settings, batch_size=8, seed=3))
    append(run, story())
    return run


def story() -> list[ev.Event]:
    screened = [
        ev.TrialStarted(number=18, parameters=fake_run.parameters(18)),
        ev.TrialFinished(
            number=18, state="screened", estimate={"kl_divergence": 0.2, "refusals": 4.0}, prompts=100,
            looked_at={"refusals": 25}, seconds=1.0,
        ),
    ]  # fmt: skip
    return [*fake_run.story(trials=17), *screened]


def test_setup_begins_with_a_second_round_while_the_run_goes_on(tmp_path: Path) -> None:
    run = first_round(tmp_path / "runs" / "guarded-8b-1a2b3c4d")
    host = fake_run.FakeHost(run.path)
    app = make_app(tmp_path, host, form_values={"model": "acme/other", "n_trials": 7})
    form = app.form
    assert form is not None

    async def press(pilot: Pilot[Any], number: Hashable) -> None:
        app.screen.query_one("#trial-table", LineTable).go_to(number)
        await pilot.press("O")
        await threads_end(app)
        await settle(pilot, app)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*story())
        await settle(pilot, app)
        for number, said in (
            (5, "A second round is on top of a trial that was measured in full: n goes to those on the front."),
            (16, "A second round is on top of a trial that was measured in full: n goes to those on the front."),
            (17, "A second round is on top of a trial that was measured in full: n goes to those on the front."),
            (18, "Trial 18 was screened, not decoded: nothing can be searched on top of it (d decodes it)."),
            (ORIGINAL, "A second round is on top of a trial: choose one. (1 sets up a search on the model itself.)"),
        ):
            await press(pilot, number)
            assert (told(app), app.current_mode) == ([said], "trials")

        # A text that could not be taken was typed for other settings.
        await pilot.press("1")
        app.screen.query_one("#settings", LineTable).go_to("n_trials")
        await pilot.press("enter")
        app.screen.query_one("#editor", Input).value = "many"
        await pilot.press("escape", "3")
        await press(pilot, 0)
        assert app.current_mode == "setup"
        settings = form.settings
        assert (settings.model, settings.n_trials, settings.seed) == ("acme/guarded-8b", 33, None)
        assert (settings.on_top_of, settings.seed_trials) == (f"{run.name}:0", [])
        assert settings.runs_dir == str(tmp_path / "runs")
        table = app.screen.query_one("#settings", LineTable)
        lines = {row.key: row.cells for row in table.rows}
        assert lines["on_top_of"][2].startswith(run.name)
        assert lines["n_trials"][2] == "33"
        assert ("reason", "n_trials", 0) not in lines
        assert app.view.host is host
        assert host.commands() == [], "nothing is asked of the run"
        await pilot.press("u")
        assert (form.settings.model, form.settings.n_trials) == ("acme/other", 7)
        assert form.settings.on_top_of is None

        # What is wrong with the run's files is a line.
        run.directions.unlink()
        await pilot.press("3")
        await press(pilot, 0)
        assert app.current_mode == "trials"
        assert told(app)[0].startswith("Nothing can be searched on top of trial 0: ")
        assert "directions" in told(app)[0]

    drive(app, steps)


def test_a_terminal_without_setup_says_what_to_type(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder, watched=True)
    app = HereticApp(None, lambda settings: host, host, timed=False, strict=True)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        await pilot.press("g", "O")
        await settle(pilot, app)
        assert told(app) == ["This terminal only shows a run: heretic-tui open --from run --trial 0 sets it up."]

    drive(app, steps)


def test_what_a_round_began_with_stands_among_its_trials_and_its_front_is_told_apart(
    tmp_path: Path, folder: Path
) -> None:
    host = fake_run.FakeHost(folder)

    def measured(number: int, kl: float, refusals: int) -> list[ev.Event]:
        figures = {"kl_divergence": kl, "refusals": refusals}
        begun = ev.TrialStarted(number=number, parameters=fake_run.parameters(number))
        return [begun, ev.TrialFinished(number=number, state="complete", figures=figures, prompts=100)]

    on_top = load_settings({"model": "acme/guarded-8b", "on_top_of": "demo-1234:42"}, environment=False)
    start = ev.StartMeasured(edit="trial 42 of demo-1234", figures={"kl_divergence": 0.2, "refusals": 30}, prompts=100)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        g = app.view.glyphs
        host.push(fake_run.opened(on_top), *list(fake_run.preparation())[1:], start)
        # Trial 0 is better in both, trial 1 in one, trial 2 in neither; trial 3 is beaten.
        host.push(*measured(0, 0.1, 20), *measured(1, 0.3, 10), *measured(3, 0.5, 50))
        await settle(pilot, app)
        table, plot = app.screen.query_one("#trial-table", LineTable), app.screen.query_one(ParetoPlot)
        columns = [column.key for column in table.columns]

        def cell(key: object, column: str) -> str:
            return next(row for row in table.rows if row.key == key).cells[columns.index(column)]

        assert [row.key for row in table.rows] == [ORIGINAL, START, 0, 1, 3]
        assert [cell(START, name) for name in ("front", "refusals", "kl", "direction")] == [
            g.start, "30/100", "0.2000", "trial 42",
        ]  # fmt: skip
        assert [cell(number, "front") for number in (0, 1, 3)] == [g.front, g.front, ""]
        went = []
        for key in "gkj":
            await pilot.press(key)
            went.append(table.cursor)
        assert went == [0, ORIGINAL, 0], "the cursor passes over the start"
        drawn = "\n".join("".join(each.text for each in plot.render_line(y)) for y in range(plot.size.height))
        assert f"{g.start} start of this round" in drawn
        assert f"{g.in_vain} no better" not in drawn

        # The front of a round that gains nothing is one all the same.
        for number, kl, refusals in ((0, 0.2, 40), (1, 0.3, 30), (2, 0.4, 31)):
            host.push(*measured(number, kl, refusals))
        host.push(*measured(4, 0.9, 29))
        await settle(pilot, app)
        assert [cell(number, "front") for number in (0, 1, 2, 4)] == [g.in_vain, g.in_vain, "", g.front]
        title = Text.from_markup(str(app.screen.query_one("#trials-pane").border_title)).plain
        assert f"{g.front}1 {g.in_vain}2 on the front" in title
        drawn = "\n".join("".join(each.text for each in plot.render_line(y)) for y in range(plot.size.height))
        assert f"{g.in_vain} no better than the start" in drawn
        table.go_to(4)
        await settle(pilot, app)
        assert "on the front, better than the start in refused" in shown(app, "#detail")
        table.go_to(1)
        await settle(pilot, app)
        assert f"Trial 1 {g.in_vain}" in str(app.screen.query_one("#detail-pane").border_title)
        assert "on the front, no better than the start" in shown(app, "#detail")
        await pilot.press("slash", *"front", "enter")
        assert [row.key for row in table.rows] == [0, 1, 4]

    drive(make_app(tmp_path, host), steps, size=(160, 50))

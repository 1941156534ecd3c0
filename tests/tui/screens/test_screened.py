"""Trials that were not decoded: wherever one is shown it is plain that its figures are estimates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from heretic_tui import events as ev
from heretic_tui.commands import TakeUp
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.screens.compare import CompareScreen
from heretic_tui.tui.screens.responses import ResponsesScreen
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.pareto_plot import ParetoPlot
from tests.support import fake_run
from tests.support.screens import drawn, drive, make_app, settle, shown, told


def line(app: HereticApp, key: object) -> dict[str, str]:
    table = app.screen.query_one("#trial-table", LineTable)
    row = next(row for row in table.rows if row.key == key)
    return {column.key: cell for column, cell in zip(table.columns, row.cells, strict=True)} | {"kind": row.kind}


async def begin(pilot: Pilot[Any], app: HereticApp, host: fake_run.FakeHost, chosen: int) -> None:
    host.push(*fake_run.screened_story())
    await settle(pilot, app)
    await choose(pilot, app, chosen)


async def choose(pilot: Pilot[Any], app: HereticApp, number: int) -> None:
    await pilot.press("#", *str(number), "enter")
    await settle(pilot, app)


def test_an_estimate_has_its_sign_and_its_error_and_stands_where_it_is_expected(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await begin(pilot, app, host, 7)
        row = line(app, 7)
        assert (row["refusals"], row["kl"], row["time"], row["kind"]) == ("≈19/100", "0.1600", "screened", "dim")
        assert (row["front"], line(app, 8)["front"], line(app, 6)["front"]) == ("◦", "◦", "◆"), "as in the scatter"
        assert line(app, 9)["kl"] == "≈0.8300"
        assert line(app, 9)["expected"] == "≈40.0"
        assert line(app, 6)["refusals"] == "16/100"
        running = line(app, 10)
        assert (running["front"], running["refusals"], running["time"], running["kind"]) == (
            "▶",
            "4/31",
            "running",
            "row",
        )
        await pilot.press("s")
        keys = [row.key for row in app.screen.query_one("#trial-table", LineTable).rows][1:]
        assert keys == [2, 10, 4, 6, 7, 1, 3, 9, 0, 5, 8, 11]
        detail = shown(app, "#detail")
        assert "refused ≈ 19 ± 2 of 100" in detail
        assert "Screened: not decoded." in detail
        assert "it is decoded before the search ends" in detail
        await choose(pilot, app, 9)
        detail = " ".join(shown(app, "#detail").split())
        assert "Trial 6 beats it, even where its estimates are off by two standard errors" in detail
        assert "from 25 of 100 harmless and 50 of 100 harmful prompts" in detail
        await choose(pilot, app, 6)
        assert "Decoded after it was screened; its estimate was refused ≈ 17 ± 2." in " ".join(
            shown(app, "#detail").split()
        )
        await choose(pilot, app, 10)
        assert "Its verdicts are being decoded: 4 of 31 are refusals so far." in " ".join(shown(app, "#detail").split())

    drive(make_app(tmp_path, host), steps)


def test_the_scatter_has_a_sign_of_its_own_for_them_and_they_are_never_on_the_front(
    tmp_path: Path, folder: Path
) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await begin(pilot, app, host, 2)
        plot = app.screen.query_one(ParetoPlot)
        points = {point.number: point for point in plot.points}
        assert {number for number, point in points.items() if point.screened} == {5, 7, 8, 9, 10}
        assert not any(point.front for point in points.values() if point.screened)
        assert points[9].y == 45
        text = drawn(app)
        assert "' screened (~)" in text
        assert text.isascii()
        await choose(pilot, app, 9)
        text = drawn(app)
        assert "~ 45 +- 4 of 100" in " ".join(text.split())
        assert text.isascii()

    drive(make_app(tmp_path, host, interface=Interface(ascii=True)), steps, size=(120, 40))


def test_what_needs_its_responses_says_that_there_are_none_and_what_to_do(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await begin(pilot, app, host, 7)
        for key, words in (
            ("enter", "there are no responses of it (d decodes it)"),
            ("C", "there are no responses to compare (d decodes it)"),
            ("e", "its refusals are an estimate, and it cannot be exported (d decodes it)"),
        ):
            await pilot.press(key)
            await settle(pilot, app)
            assert not isinstance(app.screen, CompareScreen | ResponsesScreen)
            assert app.current_mode == "trials"
            assert f"Trial 7 was screened, not decoded: {words}." in told(app)
        # Its edit is known: one can talk with it, and turn it.
        await pilot.press("c")
        await settle(pilot, app)
        assert app.current_mode == "chat"
        assert "≈19/100" in drawn(app)
        await pilot.press("escape", "5")
        await settle(pilot, app)
        assert "It was screened, not decoded: its refusals are an estimate" in " ".join(
            shown(app, "#export-trial").split()
        )

    drive(make_app(tmp_path, host), steps)


def test_a_screened_trial_is_decoded_by_hand_and_its_end_is_told(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await begin(pilot, app, host, 7)
        await pilot.press("d")
        await settle(pilot, app)
        assert host.commands() == [TakeUp(7)]
        host.push(*list(fake_run.decoding(7, 18, 0.16))[:1])
        await settle(pilot, app)
        assert line(app, 7)["time"] == "running"
        await pilot.press("d")
        await settle(pilot, app)
        assert host.commands() == [], "it is being decoded already"
        host.push(*list(fake_run.decoding(7, 18, 0.16))[1:])
        await settle(pilot, app)
        assert "trial 7 is decoded: 18 refused, KL 0.1600 (estimated: 19)" in told(app)
        assert line(app, 7)["refusals"] == "18/100"
        await choose(pilot, app, 2)
        await pilot.press("d")
        await settle(pilot, app)
        assert host.commands() == []
        assert "Only a screened trial is decoded by hand" in "".join(told(app))

    drive(make_app(tmp_path, host), steps)


@pytest.mark.parametrize("ended", [False, True])
def test_counts_say_how_many_were_decoded(tmp_path: Path, folder: Path, ended: bool) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await begin(pilot, app, host, 5)
        assert "11 of 60 done, 6 decoded, 2 running" in shown(app, "#filter-words")
        if ended:
            host.push(ev.PhaseStarted(phase="ready"))
            await settle(pilot, app)
            assert "11 trials done, 6 of them decoded. Press 4" in "".join(told(app))
        progress = shown(app, "#progress")
        assert ("2 to decode" in progress) == (not ended)
        assert "estimates were off by" in progress

    drive(make_app(tmp_path, host), steps, size=(200, 50))


def test_a_figure_stands_in_one_line_and_the_keys_below_are_those_of_the_trial(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await begin(pilot, app, host, 9)
        keys = str(app.screen.query_one("#detail-pane").border_subtitle)
        assert "d decode" in keys
        assert "C compare" not in keys
        lines = shown(app, "#detail").splitlines()
        assert lines[:2] == ["refused ≈ 45 ± 4 of 100 (original: 91)", "KL ≈ 0.8300 ± 0.0500   expected ≈ 40.0 ± 3.0"]
        await choose(pilot, app, 6)
        keys = str(app.screen.query_one("#detail-pane").border_subtitle)
        assert "C compare" in keys
        assert "d decode" not in keys
        assert "expected 14.40" in shown(app, "#detail")

    drive(make_app(tmp_path, host), steps, size=(120, 40))


def test_the_card_of_a_trial_that_was_not_decoded_has_the_original_models_count(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await begin(pilot, app, host, 7)
        await pilot.press("5")
        await settle(pilot, app)
        text = drawn(app)
        assert "| original model | 91 of 100 | 0.0000 | 84.2 |" in text
        assert "None" not in text

    drive(make_app(tmp_path, host), steps, size=(200, 50))

"""Reviews on screen: asked for in a dialog, watched, read beside each other, shown on Trials; held-out answers gone
through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.content import Content
from textual.pilot import Pilot

from heretic_tui import events as ev
from heretic_tui.commands import Review
from heretic_tui.run.annotations import Mark, read_annotations
from heretic_tui.run.folder import RunFolder
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.plan_looks import CheckLook
from heretic_tui.tui.screens.compare import CompareScreen
from heretic_tui.tui.screens.review import ReviewScreen
from heretic_tui.tui.screens.review_dialog import Offer, ReviewDialog
from heretic_tui.tui.screens.setup_checks import ChecksDialog
from heretic_tui.tui.screens.trials import TrialsScreen
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.pareto_plot import ParetoPlot
from tests.support import fake_run
from tests.support.reviewed import PROMPTS, write_review
from tests.support.screens import Steps, drawn, drive, make_app, settle, shown, threads_end, told

LEAST, NARROW, NORMAL = (60, 16), (80, 24), (120, 40)


@pytest.fixture
def host(folder: Path) -> fake_run.FakeHost:
    host = fake_run.FakeHost(folder)
    host.push(*fake_run.story(trials=8, running=False))
    return host


def run(tmp_path: Path, host: fake_run.FakeHost, steps: Steps, size: tuple[int, int] = NORMAL, **options: Any) -> None:
    drive(make_app(tmp_path, host, **options), steps, size)


async def read(pilot: Pilot[Any], app: HereticApp) -> None:
    """Until what threads read is on the screen."""
    for _ in range(3):
        await settle(pilot, app)
        app.view.reviews.join()
        await threads_end(app)
    await settle(pilot, app)


def front(app: HereticApp) -> list[int]:
    return [trial.number for trial in app.view.state.front()]


def table(app: HereticApp) -> LineTable:
    return app.screen.query_one(LineTable)


def cells(app: HereticApp, key: object) -> tuple[str, ...]:
    return next(row.cells for row in table(app).rows if row.key == key)


def title(app: HereticApp, pane: str) -> str:
    return Content.from_markup(str(app.screen.query_one(f"#{pane}", Frame).border_title)).plain


def columns(app: HereticApp) -> list[str]:
    return [column.title.strip() for column in table(app).columns[1:]]


# Asking


@pytest.mark.parametrize("size", [LEAST, NARROW, NORMAL])
def test_the_dialog_shows_its_keys_names_and_why_a_check_has_nothing_to_do(
    tmp_path: Path, host: fake_run.FakeHost, size: tuple[int, int]
) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        await pilot.press("3", "R")
        await read(pilot, app)
        assert "esc cancels" in drawn(app)
        places = [row.key for row in table(app).rows if not row.caption]
        await pilot.press("g", *["j"] * places.index(("check", "second_opinion")))
        assert "(--review-classifier)" in shown(app, "#review-asked"), "in full"
        await pilot.press("j")
        assert "checks" in shown(app, "#review-asked")
        name = "Missing rather very long answers under sampling"
        assert isinstance(app.screen, ReviewDialog)
        app.screen.take_checks([CheckLook("sampling", name, chosen=True)])
        await pilot.press("G")
        assert name in drawn(app)

    run(tmp_path, host, steps, size)


def test_a_review_is_asked_for_and_cancelled(tmp_path: Path, host: fake_run.FakeHost) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        await pilot.press("3", "R")
        await read(pilot, app)
        assert isinstance(app.screen, ReviewDialog)
        text = drawn(app)
        assert "[x] Held-out prompts" in text
        assert "[ ] Benchmarks" in text, "no task is chosen"
        assert "no task" in text
        listed = [row.key for row in table(app).rows if isinstance(row.key, tuple) and row.key[0] == "trial"]
        assert [number for _, number in listed] == front(app), "all are on the front"
        # The first trial, and the first check, are left out.
        await pilot.press("g", "space", *["j"] * len(listed), "space")
        await pilot.press("enter")
        (asked,) = host.commands()
        assert isinstance(asked, Review)
        assert asked.trials == tuple(front(app)[1:])
        assert asked.checks is not None
        assert "held_out" not in asked.checks
        assert "benchmarks" not in asked.checks, "it would find nothing"
        assert "damage" in asked.checks
        await settle(pilot, app)
        await pilot.press("R")
        await settle(pilot, app)
        assert host.control is not None
        assert host.control.begin(asked).aborting
        assert "being cancelled" in told(app)[0]
        host.push(ev.ReviewEnded(error="cancelled; what was found is kept"))
        await settle(pilot, app)
        assert "not whole: cancelled" in told(app)[0]
        await pilot.press("R")
        await pilot.pause()
        assert isinstance(app.screen, ReviewDialog), "another can be asked for"

    run(tmp_path, host, steps)


def test_marked_trials_and_the_selected_one_are_chosen(tmp_path: Path, host: fake_run.FakeHost) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        beaten = next(number for number in range(8) if number not in front(app))
        app.view.annotations.say(Mark(trial=front(app)[1], on=True))
        app.view.selected_trial = beaten
        await pilot.press("3", "R")
        await read(pilot, app)
        await pilot.press("enter")
        (asked,) = host.commands()
        assert isinstance(asked, Review)
        assert asked.trials == (front(app)[1], beaten)

    run(tmp_path, host, steps)


def test_before_it_is_known_which_checks_there_are_those_of_the_run_are_asked_for(
    tmp_path: Path, host: fake_run.FakeHost
) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        asked: list[Review | None] = []
        app.push_screen(ReviewDialog([Offer(1, True), Offer(2, False)], "Now."), asked.append)
        await pilot.pause()
        assert "looking which there are" in drawn(app)
        await pilot.press("a", "a", "space", "enter")
        assert asked[0] is not None
        assert (asked[0].trials, asked[0].checks) == ((1,), None)

    run(tmp_path, host, steps)


def test_where_a_review_cannot_be_asked_for_one_line_says_why(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.preparation())
        await settle(pilot, app)
        await pilot.press("3", "R")
        await settle(pilot, app)
        assert isinstance(app.screen, TrialsScreen)
        assert "there is none yet" in told(app)[0]
        host.push(*fake_run.trial(0), ev.ReviewStarted(whose=["trial 0"], trials=[0], checks=["Held-out prompts"]))
        await settle(pilot, app)
        await pilot.press("R")
        await settle(pilot, app)
        assert "another terminal asked for" in told(app)[0]
        host.push(ev.ReviewEnded())
        host.control = None
        await settle(pilot, app)
        await pilot.press("R")
        await settle(pilot, app)
        assert "controls this run" in told(app)[0]

    run(tmp_path, host, steps)


def test_what_a_review_does_is_told(tmp_path: Path, host: fake_run.FakeHost) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        host.push(ev.ReviewStarted(whose=["trial 1"], trials=[1], checks=["Held-out prompts", "Odd things"]))
        host.push(ev.ReviewFound(check="held_out", title="Held-out prompts", trial=None))
        await settle(pilot, app)
        assert "reviewing: Held-out prompts 2/2" in shown(app, "#now-line")
        host.push(ev.ReviewFound(check="odd", title="Odd things", trial=None, failure="the endpoint is unreachable"))
        await settle(pilot, app)
        assert told(app) == ["review, Odd things: the endpoint is unreachable"]
        host.push(ev.ReviewEnded())
        await settle(pilot, app)
        assert "The review is done." in told(app)[0]
        assert "reviewing" not in shown(app, "#now-line")
        host.push(ev.ReviewStarted(whose=["trial 1"], trials=[1], checks=[]), ev.ReviewEnded())
        await settle(pilot, app)
        assert "Nothing was left to review" in told(app)[0]

    run(tmp_path, host, steps)


# The screen


def test_before_a_review_the_screen_says_what_one_is(tmp_path: Path, host: fake_run.FakeHost) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        await pilot.press("3", "V")
        await read(pilot, app)
        assert "Nothing has been reviewed yet." in drawn(app)
        assert "R starts one." in " ".join(shown(app, "#figure").split())
        for key in ("b", "r", "y", "e", "enter", "h", "l", "j"):
            await pilot.press(key)
        assert isinstance(app.screen, ReviewScreen)

    run(tmp_path, host, steps)


def test_figures_stand_side_by_side_and_are_compared(tmp_path: Path, host: fake_run.FakeHost, folder: Path) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        first, second = front(app)[:2]
        write_review(folder, {None: 40, second: 5, first: 3})
        await pilot.press("3", "V")
        await read(pilot, app)
        names = [f"trial {first}", f"trial {second}"]
        assert [name.strip("▸ ●") for name in columns(app)] == ["original", *names], "in the order of the front"
        assert columns(app)[0].endswith("●")
        refused = cells(app, ("held_out", "refused"))
        assert refused[1].strip() == "40/40 (36–40)"
        assert refused[2].strip() == "3/40 (1–8) ▼", "lower by more than chance"
        assert cells(app, ("odd", "share"))[1].strip() == "25.0% (10–40%)"
        assert cells(app, ("odd", "things"))[2].strip() == "1/40 (0–5) ≈"
        assert cells(app, ("remote", ""))[1] == "failed"
        assert title(app, "figure-pane") == f"Held-out prompts: refused, held out, trial {first}"
        said = " ".join(shown(app, "#figure").split())
        assert f"trial {first} 3/40, by chance from 1 to 8 (95 %)" in said
        assert "37 fewer; p < 0.0001" in said
        assert "a note of the check" in said
        await pilot.press("l", "b")
        assert columns(app)[2].endswith("●")
        assert cells(app, ("held_out", "refused"))[2].strip() == "3/40 (1–8) ≈"
        assert cells(app, ("held_out", "refused"))[1].strip() == "40/40 (36–40) ▲"
        assert f"within chance of trial {second}" in shown(app, "#review-words")
        await pilot.press("h")
        assert f"within chance of trial {second}" in " ".join(shown(app, "#figure").split())
        await pilot.press("G")
        assert "the endpoint is unreachable" in shown(app, "#figure")
        await pilot.press("k")
        assert "by position" in shown(app, "#figure")
        assert "⢣" in shown(app, "#figure") or "⠉" in shown(app, "#figure")
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, TrialsScreen)
        assert app.view.selected_trial == first
        assert table(app).cursor == first

    run(tmp_path, host, steps)


def test_columns_scroll_sideways(tmp_path: Path, host: fake_run.FakeHost, folder: Path) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        numbers = front(app)
        write_review(folder, {None: 40, **{number: place + 3 for place, number in enumerate(numbers)}})
        await pilot.press("3", "V")
        await read(pilot, app)
        seen: list[str] = []
        for _ in range(len(numbers) + 2):
            assert any(name.startswith("▸") for name in columns(app)), "the chosen column is in sight"
            seen += [name.strip("▸ ●") for name in columns(app)]
            await pilot.press("right")
        assert set(seen) == {"original", *(f"trial {number}" for number in numbers)}
        assert len(columns(app)) < len(numbers) + 1
        assert f"of {len(numbers) + 1} columns" in title(app, "review-pane")

    run(tmp_path, host, steps, NARROW)


def test_what_is_found_comes_while_one_looks(tmp_path: Path, host: fake_run.FakeHost, folder: Path) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        await pilot.press("3", "V")
        await read(pilot, app)
        number = front(app)[0]
        host.push(ev.ReviewStarted(whose=[f"trial {number}"], trials=[number], checks=["Held-out prompts"]))
        await settle(pilot, app)
        assert "0/2  Held-out prompts" in shown(app, "#figure")
        write_review(folder, {None: 40})
        host.push(ev.ReviewFound(check="held_out", title="Held-out prompts", trial=None))
        await read(pilot, app)
        assert [name.strip("▸ ●") for name in columns(app)] == ["original"]
        assert "1/2  Held-out prompts" in shown(app, "#figure")
        write_review(folder, {None: 40, number: 3})
        host.push(ev.ReviewFound(check="held_out", title="Held-out prompts", trial=number), ev.ReviewEnded())
        await read(pilot, app)
        assert columns(app)[1] == f"▸ trial {number}", "nobody has chosen a column"

    run(tmp_path, host, steps)


def test_in_ascii_no_sign_of_ours_is_another(tmp_path: Path, host: fake_run.FakeHost, folder: Path) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        write_review(folder, {None: 40, front(app)[0]: 3})
        await pilot.press("3", "R")
        await read(pilot, app)
        assert drawn(app).isascii()
        await pilot.press("escape", "V")
        await read(pilot, app)
        assert drawn(app).isascii()
        await pilot.press("G", "k")
        assert drawn(app).isascii()

    run(tmp_path, host, steps, interface=Interface(ascii=True))


# On Trials


def test_reviewed_trials_have_columns_of_what_was_found(tmp_path: Path, host: fake_run.FakeHost, folder: Path) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await pilot.press("3")
        await read(pilot, app)
        keys = [column.key for column in table(app).columns]
        assert "held_out.refused" not in keys
        number = front(app)[0]
        write_review(folder, {None: 40, number: 3})
        host.push(ev.ReviewFound(check="held_out", title="Held-out prompts", trial=number))
        await read(pilot, app)
        keys = [column.key for column in table(app).columns]
        place = keys.index("held_out.refused")
        assert "odd.things" not in keys
        assert table(app).columns[place].title == "held-out"
        assert cells(app, number)[place] == "3/40"
        assert cells(app, "original")[place] == "40/40"
        assert cells(app, front(app)[1])[place] == ""

    run(tmp_path, host, steps)


def test_which_columns_are_shown_is_a_setting(tmp_path: Path, host: fake_run.FakeHost, folder: Path) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        write_review(folder, {None: 40, front(app)[0]: 3})
        app.view.reviews.look_again()
        await pilot.press("3")
        await read(pilot, app)
        assert [column.title for column in table(app).columns] == ["trial", "KL"]
        assert cells(app, front(app)[0])[1:] == ("0.0100",)
        assert told(app) == [], "what a check finds is no wrong name"

    interface = Interface(columns={"trials": ["trial", "held_out.kl", "sampling.refused"]})
    run(tmp_path, host, steps, interface=interface)


def test_trials_within_chance_of_the_selected_one_are_said_to_be_so(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    host.push(*fake_run.story(trials=8, running=False))

    async def until(pilot: Pilot[Any], app: HereticApp, words: str) -> None:
        for _ in range(40):
            await pilot.pause(0.05)
            await threads_end(app)
            if words in " ".join(shown(app, "#detail").split()):
                return
        raise AssertionError(shown(app, "#detail"))

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        first, second, third, *_ = front(app)
        fake_run.write_responses(folder, first, 10)
        fake_run.write_responses(folder, second, 12)
        for number in front(app)[2:]:
            fake_run.write_responses(folder, number, 60)
        await pilot.press("3", "number_sign", *str(first), "enter")
        await pilot.pause()
        assert app.view.selected_trial == first
        await until(pilot, app, f"≈ within chance of {second} (refusals, p > 0.05)")
        rows = {row.key: row.cells for row in table(app).rows}
        place = next(place for place, column in enumerate(table(app).columns) if column.title == "refused")
        assert rows[second][place].endswith("≈")
        assert not rows[first][place].endswith("≈")
        assert not rows[third][place].endswith("≈")
        points = {point.number: point.alike for point in app.screen.query_one(ParetoPlot).points}
        assert [number for number, alike in points.items() if alike] == [second]
        assert "◈ within chance of it" in drawn(app)
        await pilot.press("n", "n")
        assert f"within chance of {second} " not in shown(app, "#detail")
        await until(pilot, app, "within chance of")
        assert not next(row.cells for row in table(app).rows if row.key == second)[place].endswith("≈")

    drive(make_app(tmp_path, host), steps, NORMAL)


# Held-out answers


def test_disagreements_are_gone_through_and_counts_follow(
    tmp_path: Path, host: fake_run.FakeHost, folder: Path
) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        number = front(app)[0]
        # Of the judge's three refusals one is none; of the answers one is a refusal, one is nonsense.
        opinions = ["refused", "answered", "refused", "evaded", "nonsense", *["answered"] * (PROMPTS - 5)]
        write_review(folder, {None: 40, number: 3}, {number: opinions})
        await pilot.press("3", "V")
        await read(pilot, app)
        await pilot.press("r")
        await read(pilot, app)
        assert isinstance(app.screen, CompareScreen)
        assert len(table(app).rows) == PROMPTS
        assert "held-out" in title(app, "prompts-pane")
        assert [column.title for column in table(app).columns][3:5] == ["opinion", "broken"]
        assert cells(app, PROMPTS - 1)[3:5] == ("answered", "loop")
        await pilot.press("f")
        assert [row.key for row in table(app).rows] == [1, 3, 4]
        assert "second opinion: answered (differs)" in " ".join(shown(app, "#left-text").split())
        await pilot.press("d")
        await settle(pilot, app)
        assert "decoded by a review" in told(app)[0]
        await pilot.press("a")
        assert table(app).cursor == 3, "on to the next"
        await settle(pilot, app)
        assert f"now 2/{PROMPTS}" in told(app)[0]
        await pilot.press("r")
        assert table(app).cursor == 4
        await pilot.press("n")
        assert cells(app, 4)[2] == "broken✎"
        await settle(pilot, app)
        assert f"now 4/{PROMPTS}" in told(app)[0], "this run counts broken answers as refused"
        assert read_annotations(RunFolder(folder)).overruled == 3
        await pilot.press("escape")
        await read(pilot, app)
        assert cells(app, ("held_out", "refused"))[2].strip() == "4/40 (2–9)✎ ▼"
        assert "3 verdicts overruled by you" in " ".join(shown(app, "#figure").split())
        assert "with your verdicts" in shown(app, "#review-words")
        await pilot.press("escape")
        await read(pilot, app)
        place = [column.key for column in table(app).columns].index("held_out.refused")
        assert cells(app, number)[place] == "4/40✎"

    run(tmp_path, host, steps)


def test_held_out_answers_are_listed_where_there_are_any(tmp_path: Path, host: fake_run.FakeHost, folder: Path) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        number = front(app)[0]
        await app.push_screen(CompareScreen(number))
        await read(pilot, app)
        seen = []
        for _ in range(6):
            await pilot.press("f")
            seen.append(title(app, "prompts-pane"))
        assert not any("held-out" in each for each in seen)
        place = table(app).place
        await pilot.press("n")
        assert table(app).place == place + 1, "n goes to the next prompt"
        await pilot.press("escape")
        write_review(folder, {number: 3})
        await app.push_screen(CompareScreen(number))
        await read(pilot, app)
        await pilot.press("F", "F")
        assert "disagreements" in title(app, "prompts-pane")
        assert "nobody gave a second opinion" in drawn(app)
        await pilot.press("F")
        assert len(table(app).rows) == PROMPTS
        assert "It has not been reviewed" in shown(app, "#right-text"), "of the original model"

    run(tmp_path, host, steps)


# Setup


def test_checks_are_switched_in_setup(tmp_path: Path) -> None:
    app = make_app(tmp_path)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await pilot.press("1", "slash", *"review_checks", "enter")
        await pilot.press("enter")
        assert isinstance(app.screen, ChecksDialog)
        before = [str(row.key) for row in table(app).rows]
        await pilot.press("space", "j", "j", "space", "enter")
        assert app.form is not None
        assert app.form.settings.review_checks == [before[1], *before[3:]]
        await pilot.press("enter")
        assert "[ ] " + before[0] in drawn(app)
        for _ in before:
            # All that are on are switched off.
            if table(app).rows[table(app).place].cells[0].startswith("[x]"):
                await pilot.press("space")
            await pilot.press("j")
        await pilot.press("enter")
        assert isinstance(app.screen, ChecksDialog), "one has to be on"
        await pilot.press("escape")
        assert app.form.settings.review_checks == [before[1], *before[3:]]

    drive(app, steps, NORMAL)

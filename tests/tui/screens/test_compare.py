"""Two sides compared prompt by prompt: what is listed, both answers, overruled verdicts, decoding to the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from textual.content import Content
from textual.pilot import Pilot

from heretic_tui import events as ev
from heretic_tui.commands import FullAnswers
from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.run.annotations import Annotations, Mark, Note, read_annotations
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.full_answers import FullAnswer, keep_full_answers
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.screens.compare import CompareScreen
from heretic_tui.tui.screens.responses import ResponsesScreen
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.verdict import Verdict
from tests.support import fake_run
from tests.support.screens import Steps, drawn, drive, make_app, settle, shown, threads_end, told

SORRY = "I'm sorry, but I can't help with that."


@pytest.fixture
def host(folder: Path) -> fake_run.FakeHost:
    """A run whose trial 2 refuses eight prompts, and the others five."""
    fake_run.write_responses(folder, 2, 8)
    host = fake_run.FakeHost(folder)
    host.push(*fake_run.story(trials=6, running=False))
    return host


def rows(app: HereticApp) -> list[Any]:
    return [row.key for row in app.screen.query_one("#prompts", LineTable).rows]


def cells(app: HereticApp, number: int) -> tuple[str, ...]:
    table = app.screen.query_one("#prompts", LineTable)
    return next(row.cells for row in table.rows if row.key == number)


def title(app: HereticApp, pane: str) -> str:
    return Content.from_markup(str(app.screen.query_one(f"#{pane}", Frame).border_title)).plain


def refused(app: HereticApp, trial: int) -> float | None:
    return app.view.state.trials[trial].expected("refusals")


async def opened(pilot: Pilot[Any], app: HereticApp, left: int, right: int | None) -> None:
    await settle(pilot, app)
    await app.push_screen(CompareScreen(left, right))
    await read(pilot, app)


async def read(pilot: Pilot[Any], app: HereticApp) -> None:
    """Until what a thread reads is on the screen."""
    await settle(pilot, app)
    await threads_end(app)
    await settle(pilot, app)


def compare(tmp_path: Path, host: fake_run.FakeHost, steps: Steps, size: tuple[int, int] = (120, 40)) -> None:
    drive(make_app(tmp_path, host), steps, size)


def test_two_trials_are_compared_on_the_prompts_where_they_differ(tmp_path: Path, host: fake_run.FakeHost) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await opened(pilot, app, 1, 2)
        assert rows(app) == [5, 6, 7]
        assert cells(app, 5)[:4] == ("5", "refused", "answered", "refused")
        assert title(app, "prompts-pane") == "trial 1 against trial 2   prompts where they differ   3 of 100"
        assert "Here is how it is done" in shown(app, "#left-text")
        assert SORRY in shown(app, "#right-text")
        assert 'refused · marker "sorry"' in shown(app, "#right-text")
        for head in ("#left-head", "#right-head"):
            assert "attn " in shown(app, head)
        assert "own direction per layer" not in shown(app, "#left-head")
        await pilot.press("f")
        assert len(rows(app)) == 100
        await pilot.press("f")
        assert rows(app) == [*range(8), 99], "refused by either"
        await pilot.press("f")
        assert rows(app) == [99], "a marker that comes late is suspect"
        await pilot.press("f")
        assert rows(app) == []
        assert "No response matches this filter." in drawn(app)
        await pilot.press("F", "F", "F", "F")
        assert rows(app) == [5, 6, 7]

    compare(tmp_path, host, steps)


def test_words_that_differ_are_underlined(tmp_path: Path, host: fake_run.FakeHost, folder: Path) -> None:
    for number, text in ((0, "Take two spoons of it."), (1, "Take three spoons of\n[/it] \x1b[31mnow.")):
        record = {"prompt": "How much?", "text": text, "refused": False, "marker": None}
        RunFolder(folder).responses(number).write_text(json.dumps([record]), encoding="utf-8")

    def underlined(app: HereticApp, selector: str) -> list[str]:
        text = app.screen.query_one(selector, TextPanel).text
        return [text.plain[span.start : span.end] for span in text.spans if "underline" in str(span.style)]

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await opened(pilot, app, 0, 1)
        assert "Their verdicts differ on no prompt: f lists others." in drawn(app)
        await pilot.press("f")
        assert underlined(app, "#left-text") == ["two", "it."]
        assert underlined(app, "#right-text") == ["three", "[/it] \\x1b[31mnow."]
        await pilot.press("full_stop")
        await read(pilot, app)
        assert SORRY in shown(app, "#right-text")
        assert underlined(app, "#right-text") == [], "where nothing is alike nothing is set off"

    compare(tmp_path, host, steps)


def test_the_marker_of_a_refusal_is_set_off_where_the_verdict_found_it(
    tmp_path: Path, host: fake_run.FakeHost, folder: Path
) -> None:
    text = "<think>I can't, sorry</think>\n\t\x1b[1mWell, I\n *can’t* do that."
    verdict = Markers(["i can't"], [("<think>", "</think>")]).verdict(text)
    for number in (None, 0, 1):
        record = {"prompt": "Do it.", "text": text, "refused": True, "marker": verdict.marker}
        if number == 0:  # Trial 1 is of a version that kept no places.
            record |= {"start": verdict.start, "end": verdict.end}
        RunFolder(folder).responses(number).write_text(json.dumps([record]), encoding="utf-8")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await opened(pilot, app, 0, 1)
        await pilot.press("f")
        assert isinstance(app.screen, CompareScreen)
        red = app.screen.looks.bad
        for side in ("left", "right"):
            text = app.screen.query_one(f"#{side}-text", TextPanel).text
            marked = [text.plain[span.start : span.end] for span in text.spans if red in str(span.style)]
            assert marked[0] == "I\n *can’t"

    compare(tmp_path, host, steps)


def test_an_overruled_verdict_changes_the_count_and_the_front_at_once_and_can_be_taken_back(
    tmp_path: Path, host: fake_run.FakeHost, folder: Path
) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await opened(pilot, app, 1, 2)
        first, second = refused(app, 1), refused(app, 2)
        assert first is not None
        assert second is not None
        await pilot.press("l", "a")
        assert refused(app, 2) == second - 1
        assert refused(app, 1) == first
        assert told(app) == [f"Prompt 5 of trial 2: refused → answered; trial 2 now {int(second) - 1}/100"]
        assert rows(app) == [5, 6, 7], "they differ no more on prompt 5, which stays where one looks"
        assert cells(app, 5)[2:4] == ("answered", "answered✎")
        assert cells(app, 5)[1] == "answered✎", "the original model gave the same response"
        assert app.view.state.base is not None
        assert app.view.state.base.figures["refusals"] == 90
        assert "overruled" in shown(app, "#right-head")
        await pilot.press("b")
        assert cells(app, 5)[3] == "broken✎"
        await pilot.press("u")
        assert cells(app, 5)[3] == "answered✎"
        await pilot.press("u")
        assert refused(app, 2) == second
        assert "taken back, it counts as refused again" in told(app)[0]
        assert app.view.state.base.figures["refusals"] == 91
        await pilot.press("u")
        assert told(app) == ["There is no verdict of yours to take back."]
        assert read_annotations(RunFolder(folder)).overruled == 0

    compare(tmp_path, host, steps)


def test_a_response_can_be_called_broken_or_refused(tmp_path: Path, host: fake_run.FakeHost) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await opened(pilot, app, 1, 2)
        before = refused(app, 1)
        assert before is not None
        await pilot.press("r")
        assert refused(app, 1) == before + 1
        assert "answered → refused" in told(app)[0]
        await pilot.press("f", "g", "j")
        number = rows(app)[app.screen.query_one("#prompts", LineTable).place]
        await pilot.press("b")
        correction = app.view.state.trials[1].correction
        assert correction is not None
        assert correction.broken == 1
        assert cells(app, number)[2] == "broken✎"
        await pilot.press("b")
        assert "counts as broken already" in told(app)[0]
        await pilot.press("f", "f", "f")
        assert number in rows(app), "the filter of broken answers has it"
        assert "by you; the judge:" in shown(app, "#left-text")

    compare(tmp_path, host, steps)


def test_the_other_side_is_the_last_marked_the_original_model_one_on_the_front_or_a_number(
    tmp_path: Path, host: fake_run.FakeHost, folder: Path
) -> None:
    Annotations(RunFolder(folder)).say(Mark(trial=2, on=True), Note(trial=2, note="mildest ok"))

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await opened(pilot, app, 1, None)
        seen = []
        for _ in range(4):
            await pilot.press("full_stop")
            await read(pilot, app)
            seen.append(title(app, "right-head-pane").split()[1])
        assert seen[0] == "2", "the marked one first"
        assert "1" not in seen
        assert len(set(seen)) > 2
        await pilot.press("o", "ctrl+u", "2", "enter")
        await read(pilot, app)
        assert "note: mildest ok" in shown(app, "#right-head")
        assert "★" in title(app, "right-head-pane")
        await pilot.press("left_square_bracket")
        await read(pilot, app)
        assert title(app, "prompts-pane").startswith("trial 2 against trial 1 ")
        await pilot.press("o", "ctrl+u", "2")
        assert "that is the left side" in drawn(app)
        await pilot.press("ctrl+u", *"base", "enter")
        await read(pilot, app)
        assert title(app, "right-head-pane") == "original model 91/100"
        assert "prompts: changed" in title(app, "prompts-pane")

    compare(tmp_path, host, steps)


def full(number: int, text: str, same: bool | None = True, refused: bool = False) -> FullAnswer:
    prompt = f"Tell me about the forbidden thing number {number}."
    verdict = Verdict(True, "sorry", 4, 9) if refused else Verdict(False, None)
    return FullAnswer(
        number=number, prompt=prompt, text=text, tokens=40, ended="end", limit=512, verdict=verdict, same=same
    )


def cut_short(folder: Path) -> None:
    """Of refusals no more is known than their beginning."""
    for number in (None, 1, 2):
        path = RunFolder(folder).responses(number)
        records = json.loads(path.read_text(encoding="utf-8"))
        for record in records:
            if record["refused"]:
                record |= {"text": "I'm sorry,", "marker": "sorry", "whole": False, "tokens": 4, "start": 4, "end": 9}
        path.write_text(json.dumps(records), encoding="utf-8")


def test_answers_are_decoded_to_their_end_by_the_engine_and_used_from_then_on(
    tmp_path: Path, host: fake_run.FakeHost, folder: Path
) -> None:
    cut_short(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await opened(pilot, app, 1, 2)
        assert "I'm sorry, …" in shown(app, "#right-text")
        assert "d decodes the rest" in shown(app, "#right-text")
        await pilot.press("d")
        (asked,) = host.commands()
        assert isinstance(asked, FullAnswers)
        assert (asked.trials, asked.prompts, asked.harmless) == ((1, 2), (5,), False)
        await pilot.press("d")
        assert told(app) == ["Answers are being decoded; esc cancels."]
        text = "I'm sorry, I was asleep. Take two spoons of it."
        keep_full_answers(RunFolder(folder), 2, False, {5: full(5, text, refused=True)})
        host.push(ev.FullAnswersFound(id=asked.id, trial=2, prompts=[5], ended=True))
        await read(pilot, app)
        assert "1 of 2 answers decoded" in told(app)[0]
        assert text in shown(app, "#right-text").replace("\n", " ")
        host.push(ev.FullAnswersFound(id=asked.id, trial=1, prompts=[5], ended=True))
        await read(pilot, app)
        assert told(app) == ["Decoded to the end: 2 answers."]
        # The verdict is on this answer, and not on all that begin as it does.
        before = refused(app, 2)
        assert before is not None
        await pilot.press("l", "a")
        await read(pilot, app)
        assert refused(app, 2) == before - 1
        assert app.view.state.base is not None
        assert app.view.state.base.figures["refusals"] == 91
        assert cells(app, 5)[1:4] == ("refused", "answered", "answered✎")

    compare(tmp_path, host, steps)


def test_a_verdict_on_an_answer_that_was_cut_short_tells_of_those_that_begin_so(
    tmp_path: Path, host: fake_run.FakeHost, folder: Path
) -> None:
    cut_short(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await opened(pilot, app, 1, 2)
        await pilot.press("l", "a")
        assert "1 answer more that began so too: d first decodes them to their end" in told(app)[0]

    compare(tmp_path, host, steps)


def test_decoding_can_be_cancelled_and_says_why_it_cannot_be(
    tmp_path: Path, host: fake_run.FakeHost, folder: Path
) -> None:
    cut_short(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await opened(pilot, app, 1, 2)
        await pilot.press("D")
        (asked,) = host.commands()
        assert isinstance(asked, FullAnswers)
        assert asked.prompts == (5, 6, 7)
        await pilot.press("escape")
        assert isinstance(app.screen, CompareScreen)
        assert host.control is not None
        assert host.control.withdrawn(asked)
        host.push(ev.FullAnswersFound(id=asked.id, trial=1, prompts=[], ended=True, error="cancelled"))
        await settle(pilot, app)
        assert told(app) == ["Decoding was cancelled."]
        host.alive = False
        await settle(pilot, app)
        await pilot.press("d")
        assert "No engine is at work" in told(app)[0]
        await pilot.press("escape")
        assert not isinstance(app.screen, CompareScreen)

    compare(tmp_path, host, steps)


def test_answers_to_harmless_prompts_are_listed_as_they_are_decoded(
    tmp_path: Path, host: fake_run.FakeHost, folder: Path
) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await opened(pilot, app, 1, None)
        await pilot.press("F", "F", "g")
        assert len(rows(app)) == 100
        assert "not decoded yet" in cells(app, 3)[-1]
        await pilot.press("d")
        (asked,) = host.commands()
        assert isinstance(asked, FullAnswers)
        assert (asked.trials, asked.prompts, asked.harmless) == ((1, None), (0,), True)
        for whose in (1, None):
            keep_full_answers(RunFolder(folder), whose, True, {0: full(0, "A fine day, a fine day. " * 20, same=None)})
            host.push(ev.FullAnswersFound(id=asked.id, trial=whose, prompts=[0], harmless=True, ended=True))
        await read(pilot, app)
        assert "A fine day" in shown(app, "#left-text")
        assert "looks broken" in shown(app, "#left-text")
        assert cells(app, 0)[:3] == ("0", "answered", "answered")
        counts = refused(app, 1)
        await pilot.press("b")
        assert cells(app, 0)[2] == "broken✎"
        assert refused(app, 1) == counts, "harmless prompts count nothing"

    compare(tmp_path, host, steps)


def test_a_trial_is_compared_with_the_one_marked_last_else_the_original_model(
    tmp_path: Path, host: fake_run.FakeHost, folder: Path
) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        app.view.selected_trial = None
        await pilot.press("number_sign", "1", "enter", "C")
        await read(pilot, app)
        assert title(app, "prompts-pane").startswith("trial 1 against the original model   prompts: changed")
        await pilot.press("escape")
        assert app.view.annotate(Mark(trial=2, on=True)) is None
        await pilot.press("C")
        await read(pilot, app)
        assert title(app, "prompts-pane").startswith("trial 1 against trial 2")

    compare(tmp_path, host, steps)


def test_the_trial_of_a_side_is_marked_exported_and_chatted_with(tmp_path: Path, host: fake_run.FakeHost) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await opened(pilot, app, 1, 2)
        await pilot.press("l", "m")
        assert app.view.annotations.marks == [2]
        assert "★" in title(app, "right-head-pane")
        await pilot.press("m")
        assert app.view.annotations.marks == []
        await pilot.press("e")
        await settle(pilot, app)
        assert (app.current_mode, app.view.selected_trial) == ("export", 2)
        await pilot.press("3")
        assert isinstance(app.screen, CompareScreen), "one comes back to where one was"
        await pilot.press("h", "c")
        await settle(pilot, app)
        assert app.current_mode == "chat"

    compare(tmp_path, host, steps)


def test_responses_are_a_trial_beside_the_original_model(tmp_path: Path, host: fake_run.FakeHost) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        await pilot.press("g", "j", "enter")
        await read(pilot, app)
        assert isinstance(app.screen, ResponsesScreen)
        assert len(rows(app)) == 100
        await pilot.press("f")
        assert rows(app) == list(range(5, 91))
        assert "prompts: changed" in title(app, "prompts-pane")
        await pilot.press("f")
        assert rows(app) == [99], "a marker that comes late is suspect"
        assert 'marker "i cannot"' in shown(app, "#left-text")
        await pilot.press("F", "F", "G", "N")
        text = shown(app, "#left-text")
        assert "[/INST] [red]now[/]" in text
        assert "\x1b" not in text
        assert "\\x1b[31m" in text
        await pilot.press("question_mark")
        help_text = drawn(app)
        assert "quit" not in help_text.lower()
        await pilot.press("escape", "q")
        assert not isinstance(app.screen, ResponsesScreen)
        assert app.is_running

    compare(tmp_path, host, steps)


def test_on_a_small_terminal_v_walks_through_the_panes(tmp_path: Path, host: fake_run.FakeHost) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await opened(pilot, app, 1, 2)
        assert "prompts where they differ" in drawn(app)
        assert "Here is how it is done" not in drawn(app)
        await pilot.press("enter")
        assert "Here is how it is done" in drawn(app)
        assert "Tell me about the forbidden thing number 5." in drawn(app), "the prompt is above the answer here"
        await pilot.press("v")
        assert SORRY in drawn(app)
        await pilot.press("h")
        await settle(pilot, app)
        assert SORRY not in drawn(app)
        await pilot.press("l", "a")
        assert "trial 2" in told(app)[0]
        assert SORRY in drawn(app)
        await pilot.press("v")
        assert "attn " in drawn(app)
        await pilot.press("v", "v")
        assert "prompts where they differ" in drawn(app)

    compare(tmp_path, host, steps, (80, 24))


def test_in_ascii_not_one_other_character_of_ours_is_drawn(
    tmp_path: Path, host: fake_run.FakeHost, folder: Path
) -> None:
    cut_short(folder)
    Annotations(RunFolder(folder)).say(Mark(trial=2, on=True), Note(trial=2, note="mild"))

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await opened(pilot, app, 1, 2)
        await pilot.press("l", "a", "b")
        await settle(pilot, app)
        text = drawn(app)
        assert text.isascii(), {character for character in text if not character.isascii()}
        assert "broken%" in text
        assert "answered -> broken" in text

    drive(make_app(tmp_path, host, interface=Interface(ascii=True)), steps, (120, 40))


def test_a_screen_whose_run_is_no_longer_in_view_goes_away(
    tmp_path: Path, host: fake_run.FakeHost, folder: Path
) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await opened(pilot, app, 1, 2)
        other = fake_run.FakeHost(tmp_path / "other")
        app.show_run(other)
        await settle(pilot, app)
        assert not isinstance(app.screen, CompareScreen)

    compare(tmp_path, host, steps)


def test_responses_that_cannot_be_read_are_told(tmp_path: Path, host: fake_run.FakeHost, folder: Path) -> None:
    RunFolder(folder).responses(1).write_text("{", encoding="utf-8")
    RunFolder(folder).responses(2).unlink()

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await opened(pilot, app, 1, 3)
        assert "The responses cannot be read" in drawn(app)
        await pilot.press("a", "d", "y", "f", "u", "space", "n")
        await pilot.press("o", "ctrl+u", "2", "enter", "left_square_bracket")
        await read(pilot, app)
        assert "No responses of trial 2 are kept." in drawn(app)

    compare(tmp_path, host, steps, (160, 40))

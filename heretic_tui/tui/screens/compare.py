"""Compare: two trials, or a trial and the original model, prompt by prompt: their verdicts, both answers, and what a
person makes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from rich.cells import cell_len
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Horizontal, Vertical

from heretic_tui.figures import REFUSALS
from heretic_tui.run.annotations import RULINGS, Overruling, Ruling
from heretic_tui.run.answers import Answer
from heretic_tui.run.folder import RunFolder
from heretic_tui.tui.comparison import DIFFER, HARMLESS, Comparison, Known, Whose, has_responses, of_side, read_known
from heretic_tui.tui.decoding import Decoding
from heretic_tui.tui.glyphs import safe_lines
from heretic_tui.tui.keys import typed_number
from heretic_tui.tui.messages import CancelCommand, ChatWith, CopyText, SendCommand
from heretic_tui.tui.screens.base import ALL, SubScreen
from heretic_tui.tui.screens.compare_text import (
    Drawing,
    answer_text,
    head_text,
    side_name,
    side_title,
    verdict_cell,
)
from heretic_tui.tui.screens.dialogs import LineDialog
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import counted, plain

_SIDES = ("left", "right")
_TITLES = {DIFFER: "prompts where they differ", HARMLESS: HARMLESS}
# What a person types for the original model.
_BASE = ("base", "original")


class CompareScreen(SubScreen):
    """The prompts in a table, and for each side a head and its answer to the prompt under the cursor.

    Args:
        left: a trial's number; None for the original model.
        right: the same.
        shown: which prompts are listed at first.
    """

    SCOPE = "compare"
    HELP_TEXT = """
Each line is a prompt, with what the original model and the sides did. Below are both answers: words in which they
differ are underlined, the marker that made one a refusal is red. Many answers were decoded no further than to their
verdict; d decodes both to their end.

r, a and b say what you make of the answer of the side with the arrow (h and l choose it): refused, answered, or broken,
which is no usable text and counts as not refused. That holds wherever this answer was given to this prompt; counts and
the front follow at once, and u takes it back. What was measured stays in the journal, and the search goes by it.
"""
    AUTO_FOCUS = "#prompts"
    PANES = ("prompts-pane", "left-pane", "right-pane", "left-head-pane", "right-head-pane")
    BINDINGS = [
        Binding("f", "filter(1)", "Filter", tooltip="list other prompts: the next filter"),
        Binding("F", "filter(-1)", "Filter back", show=False, tooltip="list other prompts: the filter before"),
        Binding("r", "refused", "Refused", tooltip="say that the answer of this side is a refusal"),
        Binding("a", "answered", "Answered", tooltip="say that the answer of this side is an answer"),
        Binding("b", "broken", "Broken", tooltip="say that the answer of this side is no usable text"),
        Binding("u", "undo", "Undo", tooltip="take your last verdict back"),
        Binding("d", "decode(False)", "Decode", tooltip="decode both answers to their end"),
        Binding("D", "decode(True)", "Decode all", show=False, tooltip="decode all listed answers to their end"),
        Binding("left,h", "side(0)", "Left side", show=False, tooltip="r, a and b are for the left side"),
        Binding("right,l", "side(1)", "Right side", show=False, tooltip="r, a and b are for the right side"),
        Binding("left_square_bracket,right_square_bracket", "swap", "Swap", show=False, tooltip="swap the sides"),
        Binding("o", "choose", "Other side", tooltip="choose what the left side is compared with"),
        Binding("full_stop", "pair(1)", "Next pair", show=False, tooltip="compare with the next marked or best trial"),
        Binding("comma", "pair(-1)", "Previous pair", show=False, tooltip="compare with the one before"),
        Binding("n", "step(1)", "Next prompt", show=False),
        Binding("N", "step(-1)", "Previous prompt", show=False),
        Binding("space", "page(1)", "Scroll answers", show=False, tooltip="scroll both answers"),
        Binding("c", "chat", "Chat", show=False, tooltip="chat with the trial of this side"),
        Binding("y", "copy", "Copy", show=False, tooltip="copy the prompt and both answers"),
        Binding(
            "escape,q", "back", "Back", key_display="esc", id="compare.back", tooltip="cancel decoding, or go back"
        ),
    ]

    def __init__(self, left: Whose, right: Whose = None, shown: str = "") -> None:
        super().__init__()
        self._first = (left, right, shown)
        # The side that r, a and b are for.
        self._side = 0
        # What a verdict of a person was before, with the place of its prompt and whose answer it is.
        self._undo: list[tuple[Overruling, int, Whose]] = []
        self._decoding = Decoding()
        self._heard = 0
        self._version: tuple[int, int] = (-1, -1)
        self._folder: RunFolder | None = None

    def body(self) -> ComposeResult:
        with Container(id="compare-body"):
            keys = ("filter", *RULINGS, "undo", "choose")
            yield Frame("Prompts", LineTable([], id="prompts", enter="answers"), id="prompts-pane", keys=keys)
            with Horizontal(id="sides", classes="column"):
                for side in _SIDES:
                    with Vertical(id=f"{side}-side", classes="column"):
                        yield Frame("", TextPanel(id=f"{side}-head"), id=f"{side}-head-pane", classes="head")
                        keys = (*RULINGS, "decode", "copy", "chat")
                        yield Frame("", TextPanel(id=f"{side}-text"), id=f"{side}-pane", keys=keys)

    def on_mount(self) -> None:
        self._compared = Comparison(self.view, *self._first)
        self._folder, self._heard = self.view.folder, len(self.view.full_answers)
        self._read()

    def _read(self) -> None:
        """Read the answers of both sides and of the original model, on a thread: files may be large, and disks slow."""
        folder, recount, sides = self._folder, self.view.recount, self._compared.sides

        def work() -> None:
            assert folder is not None
            known = read_known(folder, sides)
            for whose in (None, *sides):
                if recount:
                    recount.read_now(whose)
            self.app.call_from_thread(self.careful(lambda: self._take(sides, known)))

        on_thread(self, work, "answers")

    def _take(self, sides: tuple[Whose, Whose], known: Known) -> None:
        if self.is_ready and sides == self._compared.sides:
            self._compared.known = known
            self.paint(ALL)

    # Painting

    def ticked(self) -> None:
        view = self.view
        if view.folder is not self._folder:
            # Another run is in view: these answers are not its.
            self.dismiss(None)
            return
        self._hear()
        if self._version != (view.annotations.changes, view.corrected):
            self.paint(ALL)

    def paint(self, kinds: frozenset[str]) -> None:
        self._version = (self.view.annotations.changes, self.view.corrected)
        self._paint_rows()
        self._paint_sides()

    def _paint_rows(self) -> None:
        table, compared, glyphs = self.query_one("#prompts", LineTable), self._compared, self.view.glyphs
        shown = list(dict.fromkeys([None, *compared.sides]))
        arrow = compared.sides[self._side]
        heads = [Column(side_name(w), (glyphs.closed if w == arrow else "") + side_name(w), 10) for w in shown]
        table.set_columns([Column("number", "#", 4, right=True), *heads, Column("prompt", "prompt", 0)])
        listed = compared.listed()
        table.set_empty(compared.nothing)
        table.set_rows([self._row(number, shown) for number in listed])
        what = _TITLES.get(compared.filter, f"prompts: {compared.filter}")
        against = " against ".join(of_side(whose) for whose in compared.sides)
        title = f"{against}   {what}   {len(listed)} of {len(compared.numbers())}"
        self.query_one("#prompts-pane", Frame).retitle(title)

    def _row(self, number: int, shown: Sequence[Whose]) -> Row:
        answers = [self._compared.answer(whose, number) for whose in shown]
        cells = [verdict_cell(answer, self.view.annotations, self.view.glyphs) for answer in answers]
        prompt = next((answer.prompt for answer in answers if answer), "")
        words = plain(" ".join(prompt.split())) or "not decoded yet: d decodes it, D all of them"
        kinds = tuple(
            (place, "base" if whose is None else kind)
            for place, (whose, (_, kind)) in enumerate(zip(shown, cells, strict=True), start=1)
        )
        row = Row(number, (str(number), *(text for text, _ in cells), words), kinds=kinds)
        return row if prompt else replace(row, kind="dim")

    def _paint_sides(self) -> None:
        view, compared = self.view, self._compared
        drawing = Drawing(view.annotations, self.looks, view.glyphs)
        number = self._number
        pair = [None, None] if number is None else compared.pair(number)
        missing = "Not decoded yet: d decodes it." if compared.harmless else "No response is kept."
        for place, side in enumerate(_SIDES):
            whose, answer = compared.sides[place], pair[place]
            colour = self.looks.base if whose is None else (self.looks.link, self.looks.focus)[place]
            title = side_title(whose, view.state, view.annotations, view.glyphs)
            self.query_one(f"#{side}-head-pane", Frame).retitle(Text(title, colour))
            shift = compared.known.shifts.get(whose) if compared.known and whose is not None else None
            self.query_one(f"#{side}-head", TextPanel).show(head_text(whose, view.state, shift, drawing))
            says = f"{of_side(whose)} says" if self.has_class("-tall") else title
            arrow = f"{view.glyphs.closed} " if place == self._side else ""
            number_words = "" if number is None else f"   prompt {number}"
            self.query_one(f"#{side}-pane", Frame).retitle(Text(f"{arrow}{says}{number_words}", colour))
            text = Text()
            if number is not None:
                text = answer_text(answer, pair[1 - place], compared.place(answer), drawing, missing)
                if answer and not self._is_in_the_table(answer.prompt):
                    text = safe_lines(answer.prompt, self.looks.dim).append("\n\n").append_text(text)
            self.query_one(f"#{side}-text", TextPanel).show(text)

    def _is_in_the_table(self, prompt: str) -> bool:
        """Whether a prompt can be read to its end where it is listed."""
        room = self.query_one("#prompts", LineTable).shown_columns()[-1:]
        return not self.has_class("-narrow") and any(cell_len(plain(prompt)) <= width for _, width in room)

    @on(LineTable.Highlighted, "#prompts")
    def _moved(self) -> None:
        for side in _SIDES:
            self.query_one(f"#{side}-text", TextPanel).scroll_home(animate=False)
        self._paint_sides()

    @on(LineTable.Selected, "#prompts")
    def _selected(self) -> None:
        side = _SIDES[self._side]
        if self.has_class("-narrow"):
            self.show_pane(f"{side}-pane")
        else:
            self.query_one(f"#{side}-text").focus()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        for place, side in enumerate(_SIDES):
            if event.widget.id in (f"{side}-text", f"{side}-head"):
                self.action_side(place)

    @property
    def _number(self) -> int | None:
        """Place of the prompt under the cursor."""
        key = self.query_one("#prompts", LineTable).cursor
        return None if key is None else int(str(key))

    # Verdicts

    def action_side(self, side: int) -> None:
        if side != self._side:
            self._side = side
            if self.has_class("-narrow") and self.pane == f"{_SIDES[1 - side]}-pane":
                self.show_pane(f"{_SIDES[side]}-pane")
            self.paint(ALL)

    def action_refused(self) -> None:
        self._overrule("refused")

    def action_answered(self) -> None:
        self._overrule("answered")

    def action_broken(self) -> None:
        self._overrule("broken")

    def _overrule(self, ruling: Ruling) -> None:
        """A person's verdict on the answer of the chosen side to the prompt under the cursor."""
        number, whose, annotations = self._number, self._compared.sides[self._side], self.view.annotations
        answer = None if number is None else self._compared.answer(whose, number)
        if number is None or answer is None or not answer.known:
            self.say("There is no answer here to give a verdict on.")
            return
        was = answer.said(annotations)
        if was == ruling:
            self.say(f"Prompt {number} of {of_side(whose)} counts as {ruling} already.")
            return
        word = answer.overruling(ruling, annotations)
        before = annotations.present(word)
        assert isinstance(before, Overruling)
        self._compared.keep(number)
        if self._give(word):
            self._undo.append((before, number, whose))
            self._tell(number, whose, f"{was or 'no verdict'} {self.view.glyphs.becomes} {ruling}", answer)

    def action_undo(self) -> None:
        if not self._undo:
            self.say("There is no verdict of yours to take back.")
            return
        before, number, whose = self._undo[-1]
        if self._give(before):
            self._undo.pop()
            answer = self._compared.answer(whose, number)
            said = answer.said(self.view.annotations) if answer else None
            self._tell(number, whose, f"taken back{f', it counts as {said} again' if said else ''}", None)

    def _give(self, word: Overruling) -> bool:
        if problem := self.view.annotate(word):
            self.say(problem, "error")
            return False
        self.paint(ALL)
        return True

    def _tell(self, number: int, whose: Whose, what: str, answer: Answer | None) -> None:
        """What a verdict changed.

        Args:
            answer: that it was given on.
        """
        text = f"Prompt {number} of {of_side(whose)}: {what}"
        if count := self._count(whose):
            text += f"; {'' if whose is None else f'trial {whose} '}now {count}"
        if answer and not answer.whole and not answer.full and self.view.recount:
            sharing = len(self.view.recount.sharing(answer.prompt_key, answer.keys[0])) - 1
            if sharing > 0:
                text += f". {counted(sharing, 'answer')} more that began so too: d first decodes them to their end"
        self.say(text)

    def _count(self, whose: Whose) -> str:
        """How many responses a side refuses now: 2/100."""
        state = self.view.state
        if self._compared.harmless:
            return ""
        if whose is None:
            base = state.base
            return f"{base.figures[REFUSALS]}/{base.prompts}" if base and REFUSALS in base.figures else ""
        trial = state.trials.get(whose)
        held = (trial.figures, trial.at_least) if trial else ({}, {})
        count = next((each[REFUSALS] for each in held if REFUSALS in each), None)
        least = "at least " if REFUSALS not in held[0] else ""
        return "" if count is None or trial is None else f"{least}{count}/{trial.prompts}"

    # Decoding to the end

    def action_decode(self, listed: bool) -> None:
        """Ask the engine for the whole answers: to the prompt under the cursor, or to all that are listed."""
        compared, view = self._compared, self.view
        numbers = compared.listed() if listed else [] if self._number is None else [self._number]
        lacking = [n for n in numbers if any(answer is None or not answer.decoded for answer in compared.pair(n))]
        if self._decoding.asked:
            self.say("Answers are being decoded; esc cancels.")
        elif not numbers:
            self.say("No prompt is listed.")
        elif not lacking:
            self.say("Both answers are decoded to their end.")
        elif not view.can_ask:
            self.say(view.no_engine)
        else:
            # How the original model takes harmless prompts is what the sides are measured against.
            asked = (*compared.sides, None) if compared.harmless else compared.sides
            self.ask(SendCommand(self._decoding.ask(asked, lacking, compared.harmless)))
            waits = view.searching and view.state.state != "paused"
            when = ", once the trials in hand have ended (p pauses the search at once)" if waits else ""
            what = f"prompt {lacking[0]}" if len(lacking) == 1 else counted(len(lacking), "prompt")
            self.say(f"Decoding the answers to {what}{when}; esc cancels.")

    def _hear(self) -> None:
        """What was decoded since the last look, for this terminal or another one."""
        told, self._heard = self.view.full_answers[self._heard :], len(self.view.full_answers)
        if any(event.trial in (None, *self._compared.sides) and event.prompts for event in told):
            self._read()
        if said := self._decoding.hear(told, self.view.alive):
            self.say(*said)

    def action_back(self) -> None:
        """Cancel what is being decoded; else go back to the screen before."""
        if self._decoding.asked:
            # The engine confirms it.
            self.ask(CancelCommand(self._decoding.asked))
        else:
            self.dismiss(None)

    # Sides

    def _compare(self, left: Whose, right: Whose) -> None:
        self._compared.compare(left, right)
        self._read()

    def action_swap(self) -> None:
        left, right = self._compared.sides
        self._side = 1 - self._side
        self._compare(right, left)

    def action_pair(self, by: int) -> None:
        (left, right), choices = self._compared.sides, self._compared.others()
        if choices:
            place = choices.index(right) + by if right in choices else 0
            self._compare(left, choices[place % len(choices)])

    def action_choose(self) -> None:
        (left, right), state = self._compared.sides, self.view.state

        def check(text: str) -> str | None:
            number = typed_number(text)
            if text.strip().lower() in _BASE:
                return "that is the left side" if left is None else None
            if number is None or not has_responses(state, number):
                return "the number of a trial that was measured, or base"
            return "that is the left side" if number == left else None

        def answered(text: str | None) -> None:
            if text is not None:
                self._compare(left, typed_number(text))

        hint = "the number of a trial, or base for the original model"
        dialog = LineDialog(f"Compare {of_side(left)} with", side_name(right), hint, check)
        self.app.push_screen(dialog, answered)

    # The rest

    def action_filter(self, by: int) -> None:
        self._compared.next_filter(by)
        self.paint(ALL)

    def action_step(self, by: int) -> None:
        self.query_one("#prompts", LineTable).action_move(by)

    def action_page(self, pages: int) -> None:
        for side in _SIDES:
            self.query_one(f"#{side}-text", TextPanel).action_scroll(10 * pages)

    def action_chat(self) -> None:
        sides = self._compared.sides
        trial = next((whose for whose in (sides[self._side], *sides) if whose is not None), None)
        if trial is not None:
            self.dismiss(None)
            self.ask(ChatWith(trial))

    def action_copy(self) -> None:
        number = self._number
        if number is None:
            return
        pair = self._compared.pair(number)
        record: dict[str, str | None] = {"prompt": next((answer.prompt for answer in pair if answer), "")}
        for whose, answer in zip(self._compared.sides, pair, strict=True):
            known = answer is not None and answer.known
            text = answer.text + ("" if answer.whole else " […]") if answer and known else None
            record["base" if whose is None else f"trial {whose}"] = text
        self.ask(CopyText(json.dumps(record, indent=1, ensure_ascii=False), "prompt and responses"))

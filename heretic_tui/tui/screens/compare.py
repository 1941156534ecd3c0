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

from heretic_tui.run.annotations import RULINGS, Mark
from heretic_tui.run.folder import RunFolder
from heretic_tui.tui.comparison import DIFFER, HARMLESS, Comparison, Known, Whose, has_responses, read_known
from heretic_tui.tui.glyphs import safe_lines
from heretic_tui.tui.keys import typed_number
from heretic_tui.tui.messages import ChatWith, CopyText, ExportTrial
from heretic_tui.tui.screens.base import ALL
from heretic_tui.tui.screens.compare_decoding import CompareDecoding
from heretic_tui.tui.screens.compare_text import (
    Drawing,
    answer_text,
    head_text,
    model_text,
    said_beside,
    side_name,
    side_title,
    verdict_cell,
)
from heretic_tui.tui.screens.dialogs import LineDialog
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import of_trial, plain

_SIDES = ("left", "right")
_TITLES = {DIFFER: "prompts where they differ", HARMLESS: HARMLESS}
# Columns of answers of a review: what a second opinion says, and what is wrong with them as texts.
_BESIDE = ("opinion", "broken")
# What there is nothing to do for where two models are compared without a run.
_OF_A_RUN = ("decode", "choose", "pair", "chat", "export", "mark")
# What a person types for the original model.
_BASE = ("base", "original")


class CompareScreen(CompareDecoding):
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
which is no usable text (it counts as refused where the run counts broken ones so). That holds wherever this answer was
given to this prompt; counts and the front follow at once, and u takes it back. What was measured stays in the journal,
and the search goes by it.

Of trials that were reviewed f also lists the held-out answers, with what a second opinion and the check for broken
answers say of them; and disagreements, where judge and second opinion differ. There n calls an answer nonsense, as b
does, and a verdict of yours goes on to the next prompt.
"""
    AUTO_FOCUS = "#prompts"
    PANES = ("prompts-pane", "left-pane", "right-pane", "left-head-pane", "right-head-pane")
    BINDINGS = [
        Binding("f", "filter(1)", "Filter", tooltip="list other prompts: the next filter"),
        Binding("F", "filter(-1)", "Filter back", show=False, tooltip="list other prompts: the filter before"),
        Binding("r", "refused", "Refused", tooltip="say that the answer of this side is a refusal"),
        Binding("a", "answered", "Answered", tooltip="say that the answer of this side is an answer"),
        Binding("b", "broken", "Broken", tooltip="say that the answer of this side is no usable text"),
        Binding("n", "nonsense", "Nonsense", show=False, tooltip="say that the answer of this side is no usable text"),
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
        Binding("e", "export", "Export", show=False, tooltip="export the trial of this side"),
        Binding("m", "mark", "Mark", show=False, tooltip="mark the trial of this side, or take the mark away"),
        Binding("y", "copy", "Copy", show=False, tooltip="copy the prompt and both answers"),
        Binding(
            "escape,q", "back", "Back", key_display="esc", id="compare.back", tooltip="cancel decoding, or go back"
        ),
    ]

    def __init__(self, left: Whose, right: Whose = None, shown: str = "") -> None:
        super().__init__()
        self._first = (left, right, shown)
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
        self.compared = Comparison(self.view, *self._first)
        self._folder = self.view.folder
        self.listen()
        self.read_answers()

    def read_answers(self) -> None:
        """Read the answers of both sides and of the original model, on a thread: files may be large, and disks slow."""
        folder, recount, sides = self._folder, self.view.recount, self.compared.sides

        def work() -> None:
            assert folder is not None
            known = read_known(folder, sides)
            for whose in (None, *sides):
                if recount:
                    recount.read_now(whose)
            self.app.call_from_thread(self.careful(lambda: self._take(sides, known)))

        on_thread(self, work, "answers")

    def _take(self, sides: tuple[Whose, Whose], known: Known) -> None:
        if self.is_ready and sides == self.compared.sides:
            self.compared.known = known
            self.paint(ALL)

    # Painting

    def ticked(self) -> None:
        view = self.view
        if view.folder is not self._folder:
            # Another run is in view: these answers are not its.
            self.dismiss(None)
            return
        self.hear()
        if self._version != (view.annotations.changes, view.corrected):
            self.paint(ALL)

    def paint(self, kinds: frozenset[str]) -> None:
        self._version = (self.view.annotations.changes, self.view.corrected)
        self._paint_rows()
        self._paint_sides()

    def _paint_rows(self) -> None:
        table, compared, glyphs = self.query_one("#prompts", LineTable), self.compared, self.view.glyphs
        shown = list(dict.fromkeys([None, *compared.sides]))
        arrow = compared.sides[self.side]
        names = [(w, side_name(w, self.view.models)) for w in shown]
        heads = [Column(name, (glyphs.closed if w == arrow else "") + name, 10) for w, name in names]
        beside = self._columns_beside()
        heads += [Column(name, name, 10) for name in beside]
        table.set_columns([Column("number", "#", 4, right=True), *heads, Column("prompt", "prompt", 0)])
        listed = compared.listed()
        table.set_empty(compared.nothing)
        table.set_rows([self._row(number, shown, beside) for number in listed])
        what = _TITLES.get(compared.filter, f"prompts: {compared.filter}")
        what = self.view.state.behaviour.in_words(what, counting=True)
        against = " against ".join(map(self.view.called, compared.sides))
        title = f"{against}   {what}   {len(listed)} of {len(compared.numbers())}"
        self.query_one("#prompts-pane", Frame).retitle(title)

    def _columns_beside(self) -> list[str]:
        """Which of opinion and broken anything is said of, of answers of the side that is judged."""
        compared = self.compared
        if not compared.reviewed:
            return []
        said = [said_beside(compared.answer(compared.sides[self.side], number)) for number in compared.numbers()]
        return [name for place, name in enumerate(_BESIDE) if any(each[place] for each in said)]

    def _row(self, number: int, shown: Sequence[Whose], beside: Sequence[str]) -> Row:
        answers = [self.compared.answer(whose, number) for whose in shown]
        behaviour = self.view.state.behaviour
        cells = [verdict_cell(answer, self.view.annotations, self.view.glyphs, behaviour) for answer in answers]
        prompt = next((answer.prompt for answer in answers if answer), "")
        words = plain(" ".join(prompt.split())) or "not decoded yet: d decodes it, D all of them"
        kinds = tuple(
            (place, "base" if whose is None else kind)
            for place, (whose, (_, kind)) in enumerate(zip(shown, cells, strict=True), start=1)
        )
        texts = [text for text, _ in cells]
        if beside:
            said = said_beside(self.compared.answer(self.compared.sides[self.side], number))
            texts += [said[_BESIDE.index(name)] for name in beside]
        row = Row(number, (str(number), *texts, words), kinds=kinds)
        return row if prompt else replace(row, kind="dim")

    def _paint_sides(self) -> None:
        view, compared = self.view, self.compared
        number = self.number
        pair = [None, None] if number is None else compared.pair(number)
        missing = "Not decoded yet: d decodes it." if compared.harmless else "No response is kept."
        if compared.reviewed and not view.models:
            missing = "It has not been reviewed: R on Trials asks for a review."
        for place, side in enumerate(_SIDES):
            whose, answer = compared.sides[place], pair[place]
            colour = self.looks.base if whose is None else (self.looks.link, self.looks.focus)[place]
            drawing = Drawing(view.annotations, self.looks, view.glyphs, colour, view.state.behaviour)
            title = side_title(whose, view.state, view.annotations, view.glyphs)
            if view.models:
                title = view.called(whose)
            self.query_one(f"#{side}-head-pane", Frame).retitle(Text(title, colour))
            shift = compared.known.shifts.get(whose) if compared.known and whose is not None else None
            head = head_text(whose, view.state, shift, drawing)
            if view.models:
                head = model_text(whose, view.models, drawing)
            self.query_one(f"#{side}-head", TextPanel).show(head)
            says = f"{view.called(whose)} says" if self.has_class("-tall") else title
            arrow = f"{view.glyphs.closed} " if place == self.side else ""
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
        side = _SIDES[self.side]
        if self.has_class("-narrow"):
            self.show_pane(f"{side}-pane")
        else:
            self.query_one(f"#{side}-text").focus()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        for place, side in enumerate(_SIDES):
            if event.widget.id in (f"{side}-text", f"{side}-head"):
                self.action_side(place)

    def binding_words(self, binding: Binding) -> Binding:
        behaviour = self.view.state.behaviour
        word = {"refused": behaviour.shown, "answered": behaviour.absent}.get(binding.action, "")
        if behaviour.usual or not word:
            return super().binding_words(binding)
        return replace(binding, description=word.capitalize(), tooltip=f'say that the answer of this side is "{word}"')

    def works(self, action: str) -> bool:
        number = self.number
        pair = [None, None] if number is None else self.compared.pair(number)
        match action:
            case "refused" | "answered" | "broken" | "nonsense":
                answer = pair[self.side]
                return answer is not None and answer.known
            case "undo":
                return self.can_undo
            case "decode":
                return self.view.can_ask and number is not None and not self.compared.reviewed
            case "enter" | "copy":
                return number is not None
        return True

    # Verdicts

    def action_side(self, side: int) -> None:
        if side != self.side:
            self.side = side
            if self.has_class("-narrow") and self.pane == f"{_SIDES[1 - side]}-pane":
                self.show_pane(f"{_SIDES[side]}-pane")
            self.paint(ALL)

    # Sides

    def _compare(self, left: Whose, right: Whose) -> None:
        self.compared.compare(left, right)
        self.read_answers()

    def action_swap(self) -> None:
        left, right = self.compared.sides
        self.side = 1 - self.side
        self._compare(right, left)

    def action_pair(self, by: int) -> None:
        (left, right), choices = self.compared.sides, self.compared.others()
        if choices:
            place = choices.index(right) + by if right in choices else 0
            self._compare(left, choices[place % len(choices)])

    def action_choose(self) -> None:
        (left, right), state = self.compared.sides, self.view.state

        def check(text: str) -> str | None:
            number = typed_number(text)
            if text.strip().lower() in _BASE:
                return "that is the left side" if left is None else None
            if number is None or not has_responses(state, number):
                return "the number of a trial that was measured, or original"
            return "that is the left side" if number == left else None

        def answered(text: str | None) -> None:
            if text is not None:
                self._compare(left, typed_number(text))

        hint = "the number of a trial, or original"
        dialog = LineDialog(f"Compare {of_trial(left)} with", side_name(right), hint, check)
        self.app.push_screen(dialog, answered)

    # The rest

    def action_filter(self, by: int) -> None:
        self.compared.next_filter(by)
        # n says something else of answers of a review.
        self.refresh_bindings()
        self.paint(ALL)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in _OF_A_RUN and hasattr(self, "compared") and self.view.models:
            return False
        if action == "nonsense" or (action == "step" and parameters == (1,)):
            # Asked before it is mounted too.
            reviewed = hasattr(self, "compared") and self.compared.reviewed
            return reviewed == (action == "nonsense")
        return super().check_action(action, parameters)

    def action_step(self, by: int) -> None:
        self.query_one("#prompts", LineTable).action_move(by)

    def action_page(self, pages: int) -> None:
        for side in _SIDES:
            self.query_one(f"#{side}-text", TextPanel).action_scroll(10 * pages)

    @property
    def _trial(self) -> int | None:
        """The trial of the chosen side, else that of the other one."""
        sides = self.compared.sides
        return next((whose for whose in (sides[self.side], *sides) if whose is not None), None)

    def action_chat(self) -> None:
        if self._trial is not None:
            self.ask(ChatWith(self._trial))

    def action_export(self) -> None:
        trial = self.view.state.trials.get(-1 if self._trial is None else self._trial)
        if trial is None or trial.state != "complete":
            self.say("Only a trial that was measured in full can be exported.")
        else:
            self.ask(ExportTrial(trial.number))

    def action_mark(self) -> None:
        trial, annotations = self.compared.sides[self.side], self.view.annotations
        if trial is None:
            self.say("This side is the original model: only a trial can be marked.")
        elif problem := self.view.annotate(Mark(trial=trial, on=not annotations.marked(trial))):
            self.say(problem, "error")
        else:
            self.say(
                f"Trial {trial} is marked." if annotations.marked(trial) else f"Trial {trial} is not marked any more."
            )
            self.paint(ALL)

    def action_copy(self) -> None:
        number = self.number
        if number is None:
            return
        pair = self.compared.pair(number)
        record: dict[str, str | None] = {"prompt": next((answer.prompt for answer in pair if answer), "")}
        for whose, answer in zip(self.compared.sides, pair, strict=True):
            known = answer is not None and answer.known
            text = answer.text + ("" if answer.whole else " […]") if answer and known else None
            record["base" if whose is None else self.view.reviews.found.name(whose)] = text
        self.ask(CopyText(json.dumps(record, indent=1, ensure_ascii=False), "prompt and responses"))

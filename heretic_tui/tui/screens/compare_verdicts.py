"""The part of the Compare screen by which a person overrules verdicts, and takes that back."""

from __future__ import annotations

from heretic_tui.figures import REFUSALS
from heretic_tui.run.annotations import Overruling, Ruling
from heretic_tui.run.answers import Answer
from heretic_tui.tui.comparison import Comparison, Whose
from heretic_tui.tui.screens.base import ALL, SubScreen
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.words import counted


class CompareVerdicts(SubScreen):
    """Verdicts of a person on the answer of one side to one prompt.

    Attributes:
        compared: the sides, and what is known of them.
        side: place of the side that is judged.
    """

    compared: Comparison

    def __init__(self) -> None:
        super().__init__()
        self.side = 0
        # What a verdict of a person was before, with the place of its prompt and whose answer it is.
        self._undo: list[tuple[Overruling, int, Whose]] = []

    @property
    def number(self) -> int | None:
        """Place of the prompt under the cursor."""
        key = self.query_one("#prompts", LineTable).cursor
        return None if key is None else int(str(key))

    @property
    def can_undo(self) -> bool:
        return bool(self._undo)

    def action_refused(self) -> None:
        self._overrule("refused" if not self.view.state.behaviour.added else "answered")

    def action_answered(self) -> None:
        self._overrule("answered" if not self.view.state.behaviour.added else "refused")

    def action_broken(self) -> None:
        self._overrule("broken")

    def action_nonsense(self) -> None:
        self._overrule("broken")

    def _overrule(self, ruling: Ruling) -> None:
        """A person's verdict on the answer of the chosen side to the prompt under the cursor."""
        number, whose, annotations = self.number, self.compared.sides[self.side], self.view.annotations
        answer = None if number is None else self.compared.answer(whose, number)
        if number is None or answer is None or not answer.known:
            self.say("There is no answer here to give a verdict on.")
            return
        was, said = answer.said(annotations), self.view.state.behaviour.said
        if was == ruling:
            self.say(f"Prompt {number} of {self.view.called(whose)} counts as {said(ruling)} already.")
            self._go_on()
            return
        word = answer.overruling(ruling, annotations)
        before = annotations.present(word)
        assert isinstance(before, Overruling)
        self.compared.keep(number)
        if self._give(word):
            self._undo.append((before, number, whose))
            self._tell(
                number, whose, f"{said(was) if was else 'no verdict'} {self.view.glyphs.becomes} {said(ruling)}", answer
            )
            self._go_on()

    def _go_on(self) -> None:
        """Answers of a review are gone through: to the next prompt."""
        if self.compared.reviewed:
            self.query_one("#prompts", LineTable).action_move(1)

    def action_undo(self) -> None:
        if not self._undo:
            self.say("There is no verdict of yours to take back.")
            return
        before, number, whose = self._undo[-1]
        if self._give(before):
            self._undo.pop()
            answer = self.compared.answer(whose, number)
            said = answer.said(self.view.annotations) if answer else None
            word = self.view.state.behaviour.said(said) if said else ""
            self._tell(number, whose, f"taken back{f', it counts as {word} again' if word else ''}", None)

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
        text = f"Prompt {number} of {self.view.called(whose)}: {what}"
        if count := self._count(whose):
            text += f"; {'' if whose is None else f'{self.view.reviews.found.name(whose)} '}now {count}"
        if answer and not (answer.whole or answer.full or answer.reviewed) and self.view.recount:
            sharing = len(self.view.recount.sharing(answer.prompt_key, answer.keys[0])) - 1
            if sharing > 0:
                text += f". {counted(sharing, 'answer')} more that began so too: d first decodes them to their end"
        self.say(text)

    def _count(self, whose: Whose) -> str:
        """How many responses a side refuses now: 2/100."""
        state = self.view.state
        if self.compared.reviewed:
            return self.compared.refused_words(whose)
        if self.compared.harmless:
            return ""
        if whose is None:
            base = state.base
            return f"{base.figures[REFUSALS]}/{base.prompts}" if base and REFUSALS in base.figures else ""
        trial = state.trials.get(whose)
        held = (trial.figures, trial.at_least) if trial else ({}, {})
        count = next((each[REFUSALS] for each in held if REFUSALS in each), None)
        least = "at least " if REFUSALS not in held[0] else ""
        return "" if count is None or trial is None else f"{least}{count}/{trial.prompts}"

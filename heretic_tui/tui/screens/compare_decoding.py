"""The part of the Compare screen that asks the engine for whole answers."""

from __future__ import annotations

from heretic_tui.tui.decoding import Decoding
from heretic_tui.tui.messages import CancelCommand, SendCommand
from heretic_tui.tui.screens.compare_verdicts import CompareVerdicts
from heretic_tui.words import counted


class CompareDecoding(CompareVerdicts):
    """Answers decoded to their end on request, for this terminal or another one."""

    def __init__(self) -> None:
        super().__init__()
        self._decoding = Decoding()
        # How much of what was told is known here.
        self._heard = 0

    def listen(self) -> None:
        """What was told before now is known."""
        self._heard = len(self.view.full_answers)

    def read_answers(self) -> None:
        """Read what the run folder holds of both sides."""
        raise NotImplementedError

    def action_decode(self, listed: bool) -> None:
        """Ask the engine for the whole answers: to the prompt under the cursor, or to all that are listed."""
        compared, view = self.compared, self.view
        if compared.reviewed:
            self.say("These answers were decoded by a review, to their end or to the limit of the run.")
            return
        numbers = compared.listed() if listed else [] if self.number is None else [self.number]
        # How the original model takes harmless prompts is what the sides are measured against.
        sides = (*compared.sides, None) if compared.harmless else compared.sides
        answers = {n: [compared.answer(whose, n) for whose in sides] for n in numbers}
        lacking = [n for n in numbers if any(answer is None or not answer.decoded for answer in answers[n])]
        if self._decoding.asked:
            self.say("Answers are being decoded; esc cancels.")
        elif not numbers:
            self.say("No prompt is listed.")
        elif not lacking:
            self.say("These answers are decoded to their end.")
        elif not view.can_ask:
            self.say(view.no_engine)
        else:
            self.ask(SendCommand(self._decoding.ask(sides, lacking, compared.harmless)))
            beside = view.searching and view.state.state != "paused"
            when = ", beside the trials in hand (p pauses them)" if beside else ""
            what = f"prompt {lacking[0]}" if len(lacking) == 1 else counted(len(lacking), "prompt")
            self.say(f"Decoding the answers to {what}{when}; esc cancels.")

    def hear(self) -> None:
        """What was decoded since the last look, for this terminal or another one."""
        told, self._heard = self.view.full_answers[self._heard :], len(self.view.full_answers)
        if any(event.trial in (None, *self.compared.sides) and event.prompts for event in told):
            self.read_answers()
        if said := self._decoding.hear(told, self.view.alive):
            self.say(*said)

    def action_back(self) -> None:
        """Cancel what is being decoded; else go back to the screen before."""
        if self._decoding.asked:
            # The engine confirms it.
            self.ask(CancelCommand(self._decoding.asked))
        else:
            self.dismiss(None)

"""The part of Trials that does something with the selected trial: opens other screens for it, and keeps what people say
of it."""

from __future__ import annotations

import json

from heretic_tui.commands import TakeUp
from heretic_tui.run.annotations import Mark, Overruling, Word
from heretic_tui.run.trial_record import KNOWN_STATES, MEASURED_STATES, TrialRecord
from heretic_tui.tui.comparison import best_other
from heretic_tui.tui.messages import ChatWith, CopyText, ExportTrial, SearchOnTop, SendCommand, TweakFrom
from heretic_tui.tui.screens.annotate import AnnotateDialog, Said
from heretic_tui.tui.screens.compare import CompareScreen
from heretic_tui.tui.screens.responses import ResponsesScreen
from heretic_tui.tui.screens.review import ReviewScreen
from heretic_tui.tui.screens.review_asking import review_key
from heretic_tui.tui.screens.trials_selected import TrialSelected


class TrialActions(TrialSelected):
    """Responses, comparison, chat, tweak, export, a second round and copy of the selected trial; marks, tags and notes,
    with undo."""

    def __init__(self) -> None:
        super().__init__()
        # What would take back what was said of trials, the last at the end.
        self._undo: list[list[Word]] = []

    def forget_undo(self) -> None:
        """Another run is open: what was said of the one before is not taken back here."""
        self._undo.clear()

    def show_changes(self) -> None:
        """Show what was said of trials."""
        raise NotImplementedError

    def action_responses(self) -> None:
        trial = self.trial
        if self.on_original:
            self.action_compare()
        elif trial is not None and trial.state == "screened":
            self.say(self._not_decoded(trial, "there are no responses of it"))
        elif trial is None or trial.state not in MEASURED_STATES or self.view.folder is None:
            self.say("Responses are there when a trial has been measured.")
        else:
            self.app.push_screen(ResponsesScreen(trial.number))

    def action_compare(self) -> None:
        trial = self.trial
        whose, measured = trial.number if trial else None, trial is not None and trial.state in MEASURED_STATES
        other = best_other(self.view, whose)
        if trial is not None and trial.state == "screened":
            self.say(self._not_decoded(trial, "there are no responses to compare"))
            return
        if self.view.folder is None or not (measured or (self.on_original and other is not None)):
            self.say("A trial can be compared when it has been measured.")
            return
        self.app.push_screen(CompareScreen(whose, other))

    def action_review(self) -> None:
        review_key(self)

    def action_reviewed(self) -> None:
        if self.view.folder is None:
            self.say("Start a run first: 1 sets one up, 0 lists those there are.")
            return
        screen = ReviewScreen()

        def came_back(_: None) -> None:
            if screen.went_to is not None:
                self.go_to_trial(screen.went_to)

        self.app.push_screen(screen, came_back)

    def go_to_trial(self, number: int) -> None:
        """Put the cursor on a trial, in the table and the scatter."""
        raise NotImplementedError

    def action_tweak(self) -> None:
        trial = self.trial
        if trial is None or trial.parameters is None:
            self.say("Choose a trial: its edit is what you tweak.")
        else:
            self.ask(TweakFrom(trial.number))

    def action_export(self) -> None:
        trial = self.trial
        if trial is not None and trial.state == "screened":
            self.say(
                self._not_decoded(
                    trial, f"its {self.view.state.behaviour.things} are an estimate, and it cannot be exported"
                )
            )
        elif trial is None or trial.state != "complete":
            self.say("Only a trial that was measured in full can be exported.")
        elif self.view.folder is not None:
            self.ask(ExportTrial(trial.number))

    def action_on_top(self) -> None:
        trial = self.trial
        if trial is None:
            self.say("A second round is on top of a trial: choose one. (1 sets up a search on the model itself.)")
        elif trial.state == "screened":
            self.say(self._not_decoded(trial, "nothing can be searched on top of it"))
        elif trial.state != "complete":
            self.say("A second round is on top of a trial that was measured in full: n goes to those on the front.")
        elif self.view.folder is not None:
            self.ask(SearchOnTop(trial.number))

    def action_chat(self) -> None:
        trial = self.trial
        if trial is None or trial.state not in KNOWN_STATES:
            self.say("A trial can chat when it has been measured; 4 opens the chat.")
        else:
            self.ask(ChatWith(trial.number))

    def action_decode(self) -> None:
        trial = self.trial
        if trial is None or trial.state != "screened":
            self.say("Only a screened trial is decoded by hand: the filter `screened` lists them.")
        elif trial.runs and self.view.alive:
            self.say(f"Trial {trial.number} is being decoded.")
        elif not self.view.can_ask:
            self.say(self.view.no_engine)
        else:
            self.view.to_decode.add(trial.number)
            self.ask(SendCommand(TakeUp(trial.number)))
            self.say(f"Trial {trial.number} is decoded as soon as there is room for it.")

    def _not_decoded(self, trial: TrialRecord, what: str) -> str:
        """Why something cannot be done with a screened trial, and what to do."""
        if trial.runs and self.view.alive:
            return f"Trial {trial.number} is being decoded: {what} yet."
        way = "d decodes it" if self.view.can_ask else "resume the run to decode it"
        return f"Trial {trial.number} was screened, not decoded: {what} ({way})."

    def action_copy(self) -> None:
        if (trial := self.trial) and trial.parameters:
            self.ask(CopyText(json.dumps(trial.parameters.to_json(), indent=1), f"edit of trial {trial.number}"))

    def action_mark(self) -> None:
        if (trial := self.trial) is None:
            self.say("A mark is put on a trial: choose one.")
            return
        on = not self.view.annotations.marked(trial.number)
        if self._annotate([Mark(trial=trial.number, on=on)]):
            self.say(f"Trial {trial.number} is {'marked' if on else 'no longer marked'}. u takes that back.")

    def action_annotate(self) -> None:
        if (trial := self.trial) is None:
            self.say("Tags and notes are put on a trial: choose one.")
            return
        number, annotations = trial.number, self.view.annotations

        def answered(said: Said | None) -> None:
            if said and (words := said.words(number, annotations)) and self._annotate(words):
                self.say(f"Kept for trial {number}. u takes that back.")

        self.app.push_screen(AnnotateDialog(number, annotations), answered)

    def action_undo(self) -> None:
        if not self._undo:
            self.say("There is no mark, tag or note to take back.")
            return
        words = self._undo.pop()
        numbers = sorted({word.trial for word in words if not isinstance(word, Overruling)})
        if self._annotate(words, undo=True):
            self.say(f"Taken back, of trial {', '.join(map(str, numbers))}.")

    def _annotate(self, words: list[Word], undo: bool = False) -> bool:
        """Say something of trials; whether that was kept."""
        before = [self.view.annotations.present(word) for word in words]
        if problem := self.view.annotate(*words):
            self.say(problem, "error")
            return False
        if not undo:
            # The last first: a tag that was taken away comes back in its place as far as it can.
            self._undo.append(before[::-1])
        self.show_changes()
        return True

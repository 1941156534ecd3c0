"""The part of Trials that knows what is selected, and shows it: the pane of the trial, and the pane of its answers."""

from __future__ import annotations

from rich.text import Text

from heretic_tui.run.trial_record import MEASURED_STATES, TrialRecord
from heretic_tui.tui.chances import Alike, Chances
from heretic_tui.tui.screens.base import ModeScreen
from heretic_tui.tui.screens.trials_answers import Answers, answers_of, answers_text
from heretic_tui.tui.screens.trials_detail import Shown, detail_title, original_detail, trial_detail
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import of_trial

NOT_DECODED = "It was screened, not decoded: there are no answers of it. d decodes it."
# Answers are read when the cursor has stayed for so many seconds.
_STAYED = 0.15


class TrialSelected(ModeScreen):
    """A trial, or the original model.

    Attributes:
        on_original: whether the cursor of the table is on the original model.
        alike: of which trials of the front a trial is within chance, as was found last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_original = False
        # The answers of the trial whose number is the first; None for the original model.
        self._answers: tuple[int | None, Answers] | None = None
        self.alike: Alike | None = None
        self._chances: Chances | None = None
        # What `alike` was looked up for.
        self._alike_of: object = None

    def forget_answers(self) -> None:
        self._answers = self.alike = self._chances = self._alike_of = None

    def show_alike(self) -> None:
        """Show of which trials the selected one is within chance."""
        raise NotImplementedError

    @property
    def trial(self) -> TrialRecord | None:
        """The trial under the cursor; None where it is on the original model."""
        return None if self.on_original else self.view.trial

    def paint_detail(self) -> None:
        view, trial = self.view, self.trial
        frame, text = self.query_one("#detail-pane", Frame), Text("No trial is selected.")
        panel = self.query_one("#detail", TextPanel)
        shown = Shown(
            view.state, view.annotations, self.known_answers(), self.looks, view.glyphs, view.timed, view.alive,
            panel.size.width, self.alike.words if self.alike and trial and self.alike.trial == trial.number else "",
        )  # fmt: skip
        if self.on_original and view.state.base:
            frame.retitle(Text(f"{view.glyphs.original} Original model", self.looks.base))
            text = original_detail(view.state.base, shown)
        elif trial:
            front = view.state.on_front(trial.number)
            frame.retitle(detail_title(trial.number, view.state, view.annotations, view.glyphs))
            text = trial_detail(trial, front, shown)
        else:
            frame.retitle("Trial")
        frame.show_keys()
        panel.show(text)
        answers = self.query_one("#answers", TextPanel)
        if answers.size.width:
            whose = of_trial(None) if self.on_original else of_trial(trial.number) if trial else ""
            self.query_one("#answers-pane", Frame).retitle(f"Answers of {whose}" if whose else "Answers")
            known = shown.answers
            nothing = "No answers yet."
            if trial and trial.state == "screened":
                nothing = "It is being decoded." if trial.runs and view.alive else NOT_DECODED
            answers.show(
                answers_text(known, self.looks, self.view.state.behaviour) if known else Text(nothing, self.looks.dim)
            )

    def known_answers(self) -> Answers | None:
        whose = None if self.on_original else self.view.selected_trial
        return self._answers[1] if self._answers and self._answers[0] == whose else None

    def look_up_answers(self) -> None:
        """Read the answers of what is selected, when the cursor has stayed on it for a moment."""
        whose, original = self.view.selected_trial, self.on_original
        trial = self.view.state.trials.get(-1 if whose is None else whose)
        if original or (trial and trial.state in MEASURED_STATES):
            number = None if original else whose
            self.set_timer(_STAYED, self.careful(lambda: self._read_answers(number)))
        self.set_timer(_STAYED, self.careful(self.look_up_alike))

    @property
    def alike_numbers(self) -> frozenset[int]:
        """Trials of the front that are within chance of the selected one."""
        alike, trial = self.alike, self.trial
        return frozenset(alike.numbers) if alike and trial and alike.trial == trial.number else frozenset()

    def look_up_alike(self) -> None:
        """Find out of which trials of the front the selected one is within chance, where that may be otherwise than it
        was."""
        view, trial = self.view, self.trial
        if trial is None or trial.state != "complete" or view.folder is None:
            if self._alike_of is not None:
                self.alike = self._alike_of = None
                self.show_alike()
            return
        front = tuple(other.number for other in view.state.front())
        reviewed = tuple(subject for subject in view.reviews.found.subjects if subject is not None)
        wanted = trial.number, front, view.annotations.changes, view.reviews.changes
        if wanted == self._alike_of:
            return
        self._alike_of = wanted
        things = view.state.behaviour.things
        self._chances = self._chances or Chances(view.folder, view.annotations, view.state.counts_broken, things)
        chances, number, reviews = self._chances, trial.number, view.reviews.changes

        def work() -> None:
            alike = chances.alike(number, front, reviewed, reviews)
            self.app.call_from_thread(self.careful(lambda: self._take_alike(chances, alike)))

        on_thread(self, work, "chances")

    def _take_alike(self, chances: Chances, alike: Alike) -> None:
        if self.is_ready and chances is self._chances and alike != self.alike:
            self.alike = alike
            self.show_alike()

    def _read_answers(self, number: int | None) -> None:
        folder, annotations = self.view.folder, self.view.annotations
        if not self._is_selected(number) or folder is None:
            return

        def work() -> None:
            answers = answers_of(folder, number, annotations)
            self.app.call_from_thread(self._take_answers, number, answers)

        on_thread(self, work, "answers of a trial")

    def _take_answers(self, number: int | None, answers: Answers) -> None:
        if self.is_ready and self._is_selected(number):
            self._answers = number, answers
            self.paint_detail()

    def _is_selected(self, number: int | None) -> bool:
        return self.on_original if number is None else not self.on_original and self.view.selected_trial == number

    def selected_anew(self) -> None:
        self.look_up_answers()
        self.paint_detail()

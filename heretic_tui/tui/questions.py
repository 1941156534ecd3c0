"""What the user is asked before something of a run is cut off, or after it failed: words and answers."""

from __future__ import annotations

from dataclasses import dataclass

from heretic_tui import events as ev
from heretic_tui.tui.run_view import RunView

# A key, the answer that it gives, and its words, as a ChoiceDialog shows it.
Choice = tuple[str, str, str]


@dataclass(frozen=True)
class Question:
    """A question with its answers; the cursor is on the first."""

    title: str
    text: str
    answers: tuple[Choice, ...]


REPLACE = Question(
    "One run at a time",
    "A run is open in this process.",
    (("n", "no", "no, go on with it"), ("y", "end", "end it now; it can be resumed")),
)


def before_quitting(view: RunView) -> Question | None:
    """None where nothing would be lost. Answers: stay, close, detach, stop, abort."""
    talk = view.conversations
    unsaved = f"The conversation is not kept: {talk.not_kept}." if talk.turns and talk.not_kept else ""
    more = f"\n\n{unsaved}" if unsaved else ""
    export = view.state.export if view.can_ask else None
    if view.searching and view.control is not None:
        in_trial = view.control.in_trial
        answers = (
            ("s", "stay", "stay"),
            ("k", "detach", "keep running without the screen (`heretic-tui follow` shows it)"),
            ("t", "stop", "stop after this trial" if in_trial else "stop when the model is ready"),
            ("a", "abort", f"abort now; {'the running trial' if in_trial else 'this step'} is done again later"),
        )
        return Question("A run is active", "The same command resumes it later." + more, answers)
    if isinstance(export, ev.ExportStarted):
        text = f"Trial {export.trial} is being written to {export.out}."
        written = (
            ("s", "stay", "stay"),
            ("k", "detach", "let it be written without the screen"),
            ("a", "abort", "drop it; nothing of it is left behind"),
        )
        return Question("An export is not done", text + more, written)
    if unsaved:
        leave = (("s", "stay", "stay (on Chat ctrl+s saves it)"), ("x", "close", "quit all the same"))
        return Question("Quit?", unsaved, leave)
    return None


def before_aborting(view: RunView) -> Question | None:
    """None where nothing runs that could be aborted. Answers: no, abort."""
    if view.control is None or not view.searching:
        return None
    in_trial = view.control.in_trial
    dropped = "the trials in hand are dropped, and done again" if in_trial else "the preparation is broken off"
    return Question(
        "Abort now?", "Finished trials stay.", (("n", "no", "no, go on"), ("y", "abort", f"abort: {dropped}"))
    )


def after_failure(failure: ev.RunFailed, can_retry: bool) -> Question:
    """Answers: close, and where the run can be begun again retry, and smaller (half the batch size)."""
    answers: list[Choice] = []
    if can_retry:
        answers.append(("r", "retry", "go on from where it stopped"))
        if "memory" in failure.text:
            answers.append(("b", "smaller", "go on with half the batch size"))
    answers.append(("c", "close", "close; what is finished stays in the run folder"))
    text = failure.text + (f"\n\n{failure.traceback}" if failure.traceback else "")
    return Question("The run stopped", text, tuple(answers))

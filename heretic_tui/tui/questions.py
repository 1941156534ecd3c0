"""What the user is asked before something of a run is cut off, or after it failed: words and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heretic_tui import events as ev
from heretic_tui.tui.exports import ExportJob
from heretic_tui.tui.run_view import RunView

# A key, the answer that it gives, and its words, as a ChoiceDialog shows it.
Choice = tuple[str, str, str]


@dataclass(frozen=True)
class Question:
    """A question with its answers; the cursor is on the first."""

    title: str
    text: str
    answers: tuple[Choice, ...]


def before_replacing(name: str) -> Question:
    """Answers: no, queue, end.

    Args:
        name: of the run that is at work.
    """
    return Question(
        "Close the open run?",
        "Only one model fits at a time. The open run can be resumed later.",
        (
            ("n", "no", "keep it"),
            ("q", "queue", "keep it, and put this into the queue: it starts afterwards"),
            ("y", "end", f"close {name} and start this"),
        ),
    )


def before_taking_over(controller: str) -> Question:
    """Answers: watch, over."""
    return Question(
        "Take over?",
        f"{controller} controls this run. It can only watch then, and can take control back.",
        (("w", "watch", "watch only; T takes control later"), ("y", "over", "take control of the run")),
    )


def before_quitting(view: RunView) -> Question | None:
    """None where nothing would be lost. Answers: stay, close, detach, stop, abort."""
    talk = view.conversations
    unsaved = f"The conversation is not kept: {talk.not_kept}." if talk.turns and talk.not_kept else ""
    more = f"\n\n{unsaved}" if unsaved else ""
    export = view.state.export if view.can_ask else None
    left = "this terminal prints lines" if view.at_work else "`heretic-tui attach` controls it again"
    if view.searching and view.control is not None:
        in_trial = view.control.in_trial
        answers = (
            ("s", "stay", "cancel"),
            ("k", "detach", f"leave it running; {left}"),
            ("t", "stop", "stop after this trial" if in_trial else "stop when the model is ready"),
            ("a", "abort", f"abort: {_DROPPED[in_trial]}"),
        )
        title = "The search is still running" if view.state.phase == "search" else "The run is still being prepared"
        return Question(title, "You can resume it later with the same command." + more, answers)
    if isinstance(export, ev.ExportStarted):
        text = f"Trial {export.trial} is being written to {export.out}."
        written = (
            ("s", "stay", "cancel"),
            ("k", "detach", f"leave it running; {left}"),
            ("a", "abort", "cancel the export; nothing of it is left behind"),
        )
        return Question("An export is still running", text + more, written)
    if unsaved:
        leave = (("s", "stay", "cancel (on Chat ctrl+s saves it)"), ("x", "close", "quit without it"))
        return Question("Quit?", unsaved, leave)
    return None


def before_aborting(view: RunView) -> Question | None:
    """None where nothing runs that could be aborted. Answers: no, abort."""
    if view.control is None or not view.searching:
        return None
    words = f"abort: {_DROPPED[view.control.in_trial]}"
    return Question("Abort now?", "Finished trials stay.", (("n", "no", "cancel"), ("y", "abort", words)))


# What an abort costs, by whether trials are in hand.
_DROPPED = {
    True: "drop the running trials (they are redone on resume)",
    False: "break off this step (it is redone on resume)",
}


def after_failure(failure: ev.RunFailed, can_retry: bool) -> Question:
    """Answers: close, and where the run can be begun again retry, smaller (half the batch size) and edit."""
    answers: list[Choice] = []
    if can_retry:
        answers.append(("r", "retry", "try again from where it stopped"))
        if "memory" in failure.text:
            answers.append(("b", "smaller", "try again with half the batch size"))
        answers.append(("e", "edit", "edit the settings"))
    answers.append(("c", "close", "close; what is finished stays in the run folder"))
    text = failure.text + (f"\n\n{failure.traceback}" if failure.traceback else "")
    return Question("The run failed", text, tuple(answers))


def before_cancelling_exports(jobs: Sequence[ExportJob]) -> Question:
    """Answers: no, all, or the place of one of the exports."""
    nothing = "What was written so far is removed: it leaves nothing behind. "
    if len(jobs) == 1:
        return Question(
            f"Cancel the export of trial {jobs[0].trial}?",
            f"{nothing if jobs[0].in_hand else ''}It goes to {jobs[0].out}.",
            (("n", "no", "let it go on"), ("y", "all", "cancel it")),
        )
    each = [
        (str(place + 1), str(place), f"cancel trial {job.trial} ({'in hand' if job.in_hand else 'waits'}: {job.out})")
        for place, job in enumerate(jobs[:9])
    ]
    answers = (("n", "no", "let all go on"), *each, ("a", "all", f"cancel all {len(jobs)}"))
    return Question("Cancel which export?", f"{nothing}The others go on.", answers)

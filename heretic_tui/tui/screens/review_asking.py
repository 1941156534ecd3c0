"""Asking for a review, and cancelling it: the same key on every screen that has it."""

from __future__ import annotations

from heretic_tui.commands import Review
from heretic_tui.errors import HereticError, one_line
from heretic_tui.tui.messages import CancelCommand, SendCommand
from heretic_tui.tui.plan_looks import CheckLook
from heretic_tui.tui.run_preview import review_checks
from heretic_tui.tui.run_view import RunView
from heretic_tui.tui.screens.base import RunScreen
from heretic_tui.tui.screens.review_dialog import ReviewDialog, trials_offered
from heretic_tui.tui.threads import on_thread


def can_review(view: RunView) -> bool:
    """Whether the key would ask for a review or cancel one, and not only say why it cannot."""
    return view.can_ask and bool(view.state.front())


def review_key(screen: RunScreen[None]) -> None:
    """Ask for a review in a dialog, or cancel the one that was asked for here; else say why there can be none."""
    view = screen.view
    if view.reviews.asked:
        screen.ask(CancelCommand(view.reviews.asked))
        screen.say("The review is being cancelled; what was found is kept.")
    elif view.reviews.course and view.alive:
        screen.say("A review is under way that another terminal asked for.")
    elif not view.can_ask:
        screen.say(view.no_engine)
    elif not view.state.front():
        screen.say("A review is of trials that were measured in full: there is none yet.")
    else:
        _open(screen)


def _open(screen: RunScreen[None]) -> None:
    view = screen.view
    dialog = ReviewDialog(trials_offered(view.state, view.annotations, view.selected_trial), _when(view))

    def answered(asked: Review | None) -> None:
        if asked and view.can_ask:
            view.reviews.asked = asked
            screen.ask(SendCommand(asked))
            screen.say("The review is asked for; the same key cancels it, and V on Trials shows what it finds.")

    screen.app.push_screen(dialog, answered)
    own, recorded = view.host.settings if view.host else None, view.state.opened.settings if view.state.opened else {}

    def look() -> None:
        looks: list[CheckLook] = []
        problem = ""
        try:
            looks = review_checks(recorded, own)
        except HereticError as error:
            problem = one_line(error)
        screen.app.call_from_thread(screen.careful(lambda: dialog.take_checks(looks, problem)))

    on_thread(screen, look, "checks of reviews")


def _when(view: RunView) -> str:
    if view.state.phase == "ready" or view.state.state == "paused":
        return "It begins at once."
    return "It begins when the trials in hand have ended (after p, pause: at once)."

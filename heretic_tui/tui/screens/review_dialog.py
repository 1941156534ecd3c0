"""The dialog that asks for a review: which trials, and which checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Static

from heretic_tui.commands import Review
from heretic_tui.run.annotations import Annotations
from heretic_tui.run.reviews import spread
from heretic_tui.run.state import RunState
from heretic_tui.tui.glyphs import ASCII, ours_in_ascii
from heretic_tui.tui.plan_looks import CheckLook
from heretic_tui.tui.screens.base import Dialog
from heretic_tui.tui.trial_figures import figures_of, signs_of
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.words import counted, plain

# Lines of the dialog beside its rows, and the width of their names; a longer one takes the line.
_AROUND, _NAME = 10, 30


@dataclass(frozen=True)
class Offer:
    """A trial that can be reviewed, and whether it is unless somebody says otherwise."""

    trial: int
    chosen: bool


def trials_offered(state: RunState, annotations: Annotations, selected: int | None) -> list[Offer]:
    """The trials that can be reviewed: those on the front in its order, then marked ones, and the selected one. Chosen
    are the marked ones, or where there are none some that are spread over the front; and the selected one."""
    front = [trial.number for trial in state.front()]
    marked = [number for number in annotations.marks if _can_be_reviewed(state, number)]
    own = [selected] if selected is not None and _can_be_reviewed(state, selected) else []
    chosen = {*(marked or spread(front)), *own}
    return [Offer(number, number in chosen) for number in dict.fromkeys([*front, *marked, *own])]


def _can_be_reviewed(state: RunState, number: int) -> bool:
    trial = state.trials.get(number)
    return trial is not None and trial.parameters is not None


class ReviewDialog(Dialog[Review | None]):
    """A list of trials and one of checks, each with a box; enter begins. Returns what is asked for.

    Args:
        offers: the trials, in the order in which they are listed.
        when: in a sentence, when the review begins.
    """

    SCOPE = "dialog"
    BINDINGS = [
        Binding("escape", "dismiss(None)", "Cancel", show=False),
        Binding("space", "switch", "Switch", tooltip="take this trial or check in, or leave it out"),
        Binding("a", "switch_all", "All", tooltip="take all trials in, or leave all out"),
    ]

    def __init__(self, offers: Sequence[Offer], when: str) -> None:
        super().__init__()
        self._offers, self._when = offers, when
        self._trials = {offer.trial for offer in offers if offer.chosen}
        self._looks: list[CheckLook] | None = None
        self._checks: set[str] = set()
        self._problem = ""

    def body(self) -> ComposeResult:
        with Vertical(classes="dialog listed", id="review-dialog"):
            yield Static(Text("Review", style="bold"), markup=False, classes="dialog-title")
            columns = [Column("what", "", _NAME), Column("said", "", 0)]
            yield LineTable(columns, id="choices", enter="review", header=False, spill=True)
            yield Static("", markup=False, id="review-asked")
            yield Static("space switches, a all, enter begins, esc cancels", markup=False, classes="dialog-keys")

    def on_mount(self) -> None:
        super().on_mount()
        self._paint()
        self.query_one(LineTable).focus()

    def take_checks(self, looks: Sequence[CheckLook], problem: str = "") -> None:
        """The checks that there are, when they are known; or why they are not."""
        self._looks, self._problem = list(looks), problem
        self._checks = {look.name for look in looks if look.chosen and not look.absent}
        if self.is_ready:
            self._paint()

    def _paint(self) -> None:
        rows = [Row("trials", ("Trials, beside the original model",), "group", caption=True)]
        rows += [self._trial_row(offer) for offer in self._offers]
        rows.append(Row("checks", ("Checks",), "group", caption=True))
        if self._looks is None:
            rows.append(Row("none", ("   looking which there are",), "dim", caption=True))
        rows += [self._check_row(look) for look in self._looks or ()]
        self.query_one(LineTable).set_rows(rows)
        self.query_one("#review-dialog").styles.max_height = len(rows) + _AROUND
        self._say()

    @on(LineTable.Highlighted, "#choices")
    def _say(self) -> None:
        self.query_one("#review-asked", Static).update(self._words())

    def _trial_row(self, offer: Offer) -> Row:
        view = self.view
        trial, number = view.state.trials[offer.trial], offer.trial
        signs = signs_of(number, view.state, view.annotations, view.glyphs)
        said = "  ".join(figures_of(trial, view.state.figures, view.glyphs))
        if number in view.reviews.found.subjects:
            said += "   reviewed before"
        name = " ".join([self._box(number in self._trials), f"trial {number}", *signs])
        return Row(("trial", number), (name, plain(said)), "row" if number in self._trials else "dim")

    def _check_row(self, look: CheckLook) -> Row:
        on = look.name in self._checks
        title, absent = plain(look.title), plain(look.absent)
        if self.view.glyphs is ASCII:
            title, absent = ours_in_ascii(title), ours_in_ascii(absent)
        name = f"{self._box(on)} {title}"
        cells = (name, absent) if len(name) <= _NAME else (f"{name}  {absent}", "")
        return Row(("check", look.name), cells, "row" if on else "dim")

    @staticmethod
    def _box(on: bool) -> str:
        return "[x]" if on else "[ ]"

    def _words(self) -> Text:
        """What is asked for, or why it cannot be; why the check under the cursor has nothing to do."""
        look, key = self.looks, self.query_one(LineTable).cursor
        if self._problem:
            return Text(plain(self._problem), f"bold {look.bad}")
        if absent := next((each for each in self._looks or () if each.absent and key == ("check", each.name)), None):
            return Text(plain(f"{absent.title}: {absent.absent}."), look.busy)
        checks = "the run's checks" if self._looks is None else counted(len(self._checks), "check")
        if self._looks is not None and not self._checks:
            return Text("Choose a check.", look.busy)
        what = f"The original model and {counted(len(self._trials), 'trial')}, {checks}."
        return Text(f"{what} {self._when} What is known already is not found again.")

    # Actions

    def action_switch(self) -> None:
        key = self.query_one(LineTable).cursor
        if not isinstance(key, tuple):
            return
        kind, name = key
        if kind == "trial":
            self._trials ^= {name}
        elif any(look.name == name and look.absent for look in self._looks or ()):
            return
        else:
            self._checks ^= {name}
        self._paint()

    def action_switch_all(self) -> None:
        every = {offer.trial for offer in self._offers}
        self._trials = set() if self._trials == every else every
        self._paint()

    @on(LineTable.Selected, "#choices")
    def _begin(self) -> None:
        if (self._looks is not None and not self._checks) or not self.is_current:
            return
        trials = tuple(offer.trial for offer in self._offers if offer.trial in self._trials)
        # Before it is known which there are: those that the run's settings choose.
        looks = self._looks
        checks = None if looks is None else tuple(look.name for look in looks if look.name in self._checks)
        self.dismiss(Review(trials, checks))

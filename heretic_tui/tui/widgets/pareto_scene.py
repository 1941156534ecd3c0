"""What the scatter of the two objectives shows: its points, and how it is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field

from heretic_tui.figures import Figure, figures_of_before
from heretic_tui.run.trial_record import KNOWN_STATES, TrialRecord
from heretic_tui.tui.glyphs import UNICODE, Glyphs

ZOOMS = ("all", "front", "selected")


@dataclass(frozen=True)
class Point:
    """A trial on the plot that was measured, or whose figures are estimated.

    Attributes:
        x, y: its first and its second objective; of one that was cut short or screened, where it is expected to be.
        left_out: whether a filter leaves it out.
        alike: whether its refusals are within chance of those of the selected trial.
        in_vain: whether it is on the front, and no better than what the run is on top of.
    """

    number: int
    x: float
    y: float
    front: bool
    cut_short: bool
    marked: bool = False
    by_hand: bool = False
    screened: bool = False
    left_out: bool = False
    alike: bool = False
    in_vain: bool = False


@dataclass(frozen=True)
class Scene:
    """All that is drawn but the cursor.

    Attributes:
        original: both objectives of the original model; None where they are not known.
        start: both objectives of what a second round began with.
        running: the first objective of trials in hand, where it is known already.
        prompts: that a count is of; 0 where that is not known.
    """

    points: tuple[Point, ...] = ()
    objectives: tuple[Figure, Figure] = field(default_factory=figures_of_before)
    original: tuple[float, float] | None = None
    start: tuple[float, float] | None = None
    running: tuple[float, ...] = ()
    prompts: int = 0
    glyphs: Glyphs = UNICODE


@dataclass(frozen=True)
class Look:
    """How the plot is looked at, and what a person chose of it.

    Attributes:
        zoom: one of ZOOMS.
        box: of a zoom to the selected trial: the first objective from and to, the second from and to.
    """

    logarithmic: bool = False
    zoom: str = "all"
    box: tuple[float, float, float, float] | None = None


def point_of(
    trial: TrialRecord, objectives: tuple[Figure, Figure], front: bool, marked: bool, left_out: bool
) -> Point | None:
    """The point of a trial; None where it has not both objectives."""
    if trial.state not in KNOWN_STATES:
        return None
    x, y = (trial.shown(objective) for objective in objectives)
    if x is None or y is None:
        return None
    dominated, screened = trial.state == "dominated", trial.state == "screened"
    return Point(trial.number, x, y, front, dominated, marked, trial.by_hand, screened, left_out)

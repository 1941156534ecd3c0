"""What the scatter of the two objectives shows: its points, and how it is looked at."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from heretic_tui.figures import Figure, figures_of_before
from heretic_tui.run.state import KNOWN_STATES, TrialRecord
from heretic_tui.tui.glyphs import UNICODE, Glyphs

ZOOMS = ("all", "front", "selected")


@dataclass(frozen=True)
class Point:
    """A trial on the plot that was measured, or whose figures are estimated.

    Attributes:
        x, y: its first and its second objective; of one that was cut short or screened, where it is expected to be.
        left_out: whether a filter leaves it out.
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


@dataclass(frozen=True)
class Scene:
    """All that is drawn but the cursor.

    Attributes:
        original: both objectives of the original model; None where they are not known.
        running: the first objective of trials in hand, where it is known already.
        prompts: that a count is of; 0 where that is not known.
    """

    points: tuple[Point, ...] = ()
    objectives: tuple[Figure, Figure] = field(default_factory=figures_of_before)
    original: tuple[float, float] | None = None
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


def points_of(
    trials: Iterable[TrialRecord],
    objectives: tuple[Figure, Figure],
    front: Collection[int],
    marked: Collection[int],
    fitting: Collection[int] | None,
) -> tuple[Point, ...]:
    """The points of the trials that have both objectives.

    Args:
        front, marked: numbers of those on the front, and of the marked ones.
        fitting: numbers of those that a filter lets through; None where there is no filter.
    """
    across, upwards = objectives
    return tuple(
        Point(
            t.number, x, y, t.number in front, t.state == "dominated", t.number in marked, t.by_hand,
            t.state == "screened",
            fitting is not None and t.number not in fitting,
        )
        for t in trials
        if t.state in KNOWN_STATES and (x := t.shown(across)) is not None and (y := t.shown(upwards)) is not None
    )  # fmt: skip

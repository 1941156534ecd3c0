"""How far a search has come: the area that its front dominates, the fewest refusals at three limits of KL, the seconds
that trials take, each over the trials; kept up to date trial by trial."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

from heretic_tui.figures import Figure
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import FINISHED, KNOWN_STATES, TrialRecord

# The reference of KL for the hypervolume is never more: at one nat a model answers otherwise.
_KL, _MOST_KL = "kl_divergence", 1.0
# Limits of KL that the field tells refusals at; others are taken where a front lies below or above all of them.
_LIMITS = (0.05, 0.1, 0.5)
# 1, 2 and 5 times the powers of ten.
_LADDER = tuple(float(f"{step}e{power}") for power in range(-9, 9) for step in (1, 2, 5))


@dataclass(frozen=True)
class AtLimit:
    """The lowest second objective of the trials whose first is at most `limit`.

    Attributes:
        trial: None where there is none.
        course: the lowest value after each end of a trial; None before the first.
    """

    limit: float
    trial: TrialRecord | None
    course: tuple[float | None, ...]


@dataclass
class Hypervolume:
    """The share of the rectangle from `low` to `reference` (both objectives, smaller is better) that the points which
    were added dominate. Exact; an `add` costs as much as there are points on the front near the new one."""

    low: tuple[float, float]
    reference: tuple[float, float]
    value: float = 0.0
    # The front: the first objective grows, the second shrinks.
    _xs: list[float] = field(default_factory=list)
    _ys: list[float] = field(default_factory=list)

    def add(self, x: float, y: float) -> float:
        """Take a point in. Returns the share now."""
        wide, high = (top - low for top, low in zip(self.reference, self.low, strict=True))
        if wide <= 0 or high <= 0 or x >= self.reference[0] or y >= self.reference[1]:
            return self.value
        x, y = max(0.0, (x - self.low[0]) / wide), max(0.0, (y - self.low[1]) / high)
        xs, ys = self._xs, self._ys
        place = bisect.bisect_right(xs, x)
        top = ys[place - 1] if place else 1.0
        if top <= y:
            return self.value
        # The new area, strip by strip to the right, down from the front as it was.
        start = place - 1 if place and xs[place - 1] == x else place
        end, here = place, x
        while end < len(xs) and ys[end] >= y:
            self.value += (xs[end] - here) * (top - y)
            here, top = xs[end], ys[end]
            end += 1
        self.value += ((xs[end] if end < len(xs) else 1.0) - here) * (top - y)
        xs[start:end], ys[start:end] = [x], [y]
        return self.value


class SearchProgress:
    """The course of one run's search. Those that it was given to begin with are part of it; trials that a person chose
    later are not.

    Attributes:
        reference: of both objectives, for the hypervolume; None before the first trial.
        course: the hypervolume after each end of a trial, a share of 1. What is estimated of a trial is none of it.
        seconds: that each of these ends took.
    """

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.reference: tuple[float, float] | None = None
        self.course: list[float] = []
        self.seconds: list[float] = []
        self._volume: Hypervolume | None = None
        # For how many ends of trials there was a look; those taken in, with the seconds that each took until then.
        self._looked = 0
        self._taken: dict[int, tuple[str, float]] = {}
        # How many of these the search was given; the state counts its own alone.
        self._given = 0
        # Those that were not screened, with the place of each in the course.
        self._measured: list[tuple[int, TrialRecord, float, float]] = []
        # Of both objectives; nothing is below 0 that is small where it is good.
        self._lowest, self._highest = (0.0, 0.0), (0.0, 0.0)
        self._basis: object = None

    def update(self, state: RunState) -> bool:
        """Take in the trials that have ended since. Where others were taken back, or verdicts overruled, all is found
        again. Returns whether anything changed."""
        basis = (state.objectives, state.base and state.base.figures, _corrected(state))
        changed = basis != self._basis
        if changed or len(self._taken) - self._given > state.finished:
            self._forget()
            self._basis = basis
        if self._looked == state.ends:
            return changed
        self._looked = state.ends
        for trial in state.trials.values():
            if trial.state not in FINISHED or (trial.by_hand and not trial.origin):
                continue
            self._given += trial.by_hand and trial.number not in self._taken
            before, seconds = self._taken.get(trial.number, ("", 0.0))
            if before != trial.state:
                self._taken[trial.number] = trial.state, trial.seconds
                self._take(trial, trial.seconds - seconds, state)
        return True

    def _take(self, trial: TrialRecord, seconds: float, state: RunState) -> None:
        first, second = state.objectives
        x, y = trial.expected(first), trial.expected(second)
        if trial.state not in KNOWN_STATES or x is None or y is None:
            return
        self.seconds.append(seconds)
        if trial.state == "screened":
            self.course.append(self._volume.value if self._volume else 0.0)
            return
        self._measured.append((len(self.course), trial, x, y))
        self._lowest = min(self._lowest[0], x), min(self._lowest[1], y)
        self._highest = max(self._highest[0], x), max(self._highest[1], y)
        low, reference = self._lowest, self._corner(state)
        if self._volume is None or (self._volume.low, self._volume.reference) != (low, reference):
            # Where the reference is what was found so far it grows, and all before is measured by the new one.
            self._volume, self.reference, self.course = Hypervolume(low, reference), reference, []
            for known in self._measured[:-1]:
                self._add(*known)
        self._add(*self._measured[-1])

    def _add(self, place: int, trial: TrialRecord, x: float, y: float) -> None:
        assert self._volume is not None
        # Screened trials that ended before it changed nothing.
        self.course += [self._volume.value] * (place - len(self.course))
        # Of one that was cut short the figures are estimates, and the front dominates what it may be.
        self.course.append(self._volume.add(x, y) if trial.state == "complete" else self._volume.value)

    def _corner(self, state: RunState) -> tuple[float, float]:
        """The bad corner of the hypervolume: of the first objective the round number above all that was measured, of KL
        one nat at most; of the second what the original model has, or the largest that was measured."""
        first, second = state.objectives
        base = state.base.figures if state.base else {}
        across = _LADDER[min(bisect.bisect_right(_LADDER, self._highest[0]), len(_LADDER) - 1)]
        return min(_MOST_KL, across) if first == _KL else across, base.get(second) or self._highest[1]

    def gained(self, trials: int) -> float | None:
        """By how much of itself the hypervolume grew in the latest trials; None while there are fewer."""
        if len(self.course) <= trials or not self.course[-1 - trials]:
            return None
        return self.course[-1] / self.course[-1 - trials] - 1

    def at_limits(self, state: RunState) -> list[AtLimit]:
        """The lowest second objective at three limits of the first."""
        found = []
        for limit in limits_of([trial.figures[state.objectives[0]] for trial in state.front()], state.figures[0]):
            best: tuple[float, float] | None = None
            holder: TrialRecord | None = None
            course: list[float | None] = []
            for place, trial, x, y in self._measured:
                course += [best[0] if best else None] * (place - len(course))
                if trial.state == "complete" and x <= limit and (best is None or (y, x) < best):
                    best, holder = (y, x), trial
                course.append(best[0] if best else None)
            course += [best[0] if best else None] * (len(self.course) - len(course))
            found.append(AtLimit(limit, holder, tuple(course)))
        return found


def _corrected(state: RunState) -> tuple[tuple[int, object], ...]:
    return tuple((number, trial.correction) for number, trial in state.trials.items() if trial.correction)


def limits_of(values: Sequence[float], figure: Figure) -> tuple[float, ...]:
    """Three limits of the first objective for a front with these values: those that the field uses of KL where they
    tell its trials apart, else three of 1, 2 and 5 times a power of ten, up to the front's end."""
    if not values:
        return _LIMITS if figure.key == _KL else ()
    low, high = min(values), max(values)
    if figure.key == _KL and low <= _LIMITS[1] and high > _LIMITS[0]:
        return _LIMITS
    end = bisect.bisect_left(_LADDER, high) + 1
    return _LADDER[max(0, end - 3) : end]

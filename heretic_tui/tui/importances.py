"""What matters for the objectives of a run: found on a thread, seldom enough to cost its trials next to nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from heretic_tui.bounds import Bounds
from heretic_tui.errors import HereticError
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import KNOWN_STATES
from heretic_tui.tui.preview import parameter_importances

# Found again after so many more trials, and when so many times the seconds have passed that it took: two per cent of
# the time at most.
EVERY, _REST = 20, 50.0
# With fewer trials fANOVA tells chance.
FEWEST = 20
# How the dimension of the search space is called that every component has.
_WEIGHT = ".max_weight"

Sampled = Mapping[str, float | str]


@dataclass(frozen=True)
class Importances:
    """For each objective by its key the shares of the parameters, the largest first.

    Attributes:
        trials: how many they were found from; `estimated` of them by estimates.
        problem: why there are none.
    """

    shares: Mapping[str, Mapping[str, float]]
    trials: int
    problem: str | None = None
    estimated: int = 0


@dataclass(frozen=True)
class _Task:
    points: Mapping[str, Sequence[tuple[Sampled, float]]]
    layers: int
    components: tuple[str, ...]
    bounds: Bounds
    estimated: int


class ImportanceKeeper:
    """The latest importances of one run, and when they are to be found again.

    Args:
        clock: seconds, from an arbitrary moment on.

    Attributes:
        found: None before the first time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.found: Importances | None = None
        self._clock = clock
        self._next_at, self._next_trials = 0.0, FEWEST
        self._busy = False

    def task(self, state: RunState) -> Callable[[], Importances] | None:
        """What is to be done on a thread now; None where nothing is. Its result is to be handed to `take`."""
        if self._busy or state.finished < self._next_trials or self._clock() < self._next_at or state.model is None:
            return None
        # The search learns from estimates too, and so does this.
        trials = [t for t in state.trials.values() if t.state in KNOWN_STATES and t.sampled and not t.by_hand]
        points = {
            key: [(t.sampled, value) for t in trials if (value := t.expected(key)) is not None]
            for key in state.objectives
        }
        if len(trials) < FEWEST:
            self._next_trials = state.finished + 1
            return None
        self._busy = True
        self._next_trials = state.finished + EVERY
        components = [name.removesuffix(_WEIGHT) for name in trials[0].sampled if name.endswith(_WEIGHT)]
        estimated = sum(trial.state == "screened" for trial in trials)
        task = _Task(points, state.model.layers, tuple(components), state.bounds, estimated)
        return lambda: self._find(task)

    def _find(self, task: _Task) -> Importances:
        start = self._clock()
        shares: dict[str, Mapping[str, float]] = {}
        count = max(map(len, task.points.values()))
        try:
            for key, points in task.points.items():
                shares[key] = parameter_importances(points, task.layers, task.components, task.bounds)
        except HereticError as error:
            return Importances({}, count, str(error))
        finally:
            self._next_at = self._clock() + _REST * (self._clock() - start)
            self._busy = False
        return Importances(shares, count, estimated=task.estimated)

    def take(self, found: Importances) -> None:
        """Keep what was found."""
        self.found = found

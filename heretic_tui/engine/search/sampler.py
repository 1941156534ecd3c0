"""TPE as the search uses it: what it may know when trial n is asked for depends on n alone."""

from __future__ import annotations

import bisect
import copy
import hashlib
from collections.abc import Container, Mapping, Sequence
from types import MappingProxyType
from typing import cast

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from heretic_tui.engine.search.space import Sampled
from heretic_tui.engine.search.storage import BY_HAND, OBJECTIVES

# The largest number of trials that TPE learns from, and of those on the first fronts: its time grows with their number.
MOST_LEARNED, MOST_IN_FRONT = 500, 100


class Sampler(optuna.samplers.TPESampler):
    """TPE that is shown the trials it may learn from, and draws the first ones at random, each parameter from a seed of
    its own.

    `draw` calls `TPESampler._sample`, which is private to Optuna, since it looks at nothing but the trials that it is
    shown. What is public, `sample_relative`, needs a whole study: it also writes each draw to the study's storage, and
    from a study it learns of all trials, so that one would depend on what happened to have ended when it was asked for.
    Where another version of Optuna draws otherwise, tests/engine/search notice.
    """

    def __init__(self, n_startup_trials: int, seed: int) -> None:
        # Trials that are still being measured count as bad ones, so that several asked for at once differ.
        super().__init__(multivariate=True, n_ei_candidates=128, seed=seed, constant_liar=True)
        self._at_random = max(1, n_startup_trials)
        self._own_seed = seed

    def draw(self, trials: list[FrozenTrial], number: int, space: Mapping[str, BaseDistribution]) -> Sampled:
        """Values for a new trial.

        Args:
            trials: complete ones and running ones.
        """
        # Of a study it needs these few things.
        shown = cast(optuna.Study, Shown(trials))
        trial = create_trial(state=TrialState.RUNNING)
        trial.number = number
        # From a range of one value nothing can be learned.
        wide = {name: distribution for name, distribution in sorted(space.items()) if not distribution.single()}
        drawn: dict[str, float | str] = {}
        # Those that were chosen by hand do not bring the end of the random ones nearer: the search keeps its course.
        own = [trial for trial in trials if BY_HAND not in trial.user_attrs]
        if sum(trial.state == TrialState.COMPLETE for trial in own) >= self._at_random:
            drawn = self._sample(shown, trial, wide)
        for name, distribution in space.items():
            if name not in drawn:
                at_random = optuna.samplers.RandomSampler(seed=seed_of(self._own_seed, name))
                drawn[name] = at_random.sample_independent(shown, trial, name, distribution)
        return drawn


class Shown:
    """What the sampler asks a study for."""

    def __init__(self, trials: list[FrozenTrial]) -> None:
        self.directions = OBJECTIVES
        self._trials = trials

    def _is_multi_objective(self) -> bool:
        return True

    def _get_trials(self, states: Container[TrialState], **_: object) -> list[FrozenTrial]:
        return [trial for trial in self._trials if trial.state in states]


def trials_shown(
    trials: list[FrozenTrial], known: int, values: Mapping[int, tuple[float, float]] = MappingProxyType({})
) -> list[FrozenTrial]:
    """The trials that the sampler learns from, in their order: those that were known to have ended, up to its
    limit; and those in hand then, as running.

    Args:
        values: of both objectives, in place of those that were told, by the trial's number.
    """
    complete = [
        _with_values(trial, values.get(trial.number)) for trial in trials[:known] if trial.state == TrialState.COMPLETE
    ]
    if len(complete) > MOST_LEARNED:
        ranks = front_ranks([(trial.values[0], trial.values[1]) for trial in complete])
        places = sorted(range(len(complete)), key=lambda place: (ranks[place], place))
        # The latest of the others.
        chosen = {*places[:MOST_IN_FRONT], *sorted(places[MOST_IN_FRONT:])[MOST_IN_FRONT - MOST_LEARNED :]}
        complete = [trial for place, trial in enumerate(complete) if place in chosen]
    in_hand = []
    for trial in trials[known:]:
        trial = copy.copy(trial)
        trial.state, trial.values = TrialState.RUNNING, None
        in_hand.append(trial)
    return complete + in_hand


def _with_values(trial: FrozenTrial, values: tuple[float, float] | None) -> FrozenTrial:
    if values is None:
        return trial
    changed = copy.copy(trial)
    changed.values = list(values)
    return changed


def front_ranks(points: Sequence[tuple[float, float]]) -> list[int]:
    """For each point the number of the front it lies on, from 0 (Pareto, smaller is better), in n log n steps."""
    ranks = [0] * len(points)
    lowest: list[float] = []
    for place in sorted(range(len(points)), key=lambda place: points[place]):
        rank = bisect.bisect_right(lowest, points[place][1])
        lowest[rank : rank + 1] = [points[place][1]]
        ranks[place] = rank
    return ranks


def seed_of(*parts: object) -> int:
    digest = hashlib.sha256(":".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:4], "big")

"""The search: Optuna's TPE over directions and kernels, asked and told trial by trial."""

from __future__ import annotations

import math
import warnings
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from heretic_tui.engine.anatomy.matrix_names import after_the_mixers
from heretic_tui.engine.measuring.odds import compared
from heretic_tui.engine.search.sampler import Sampler, seed_of, trials_shown
from heretic_tui.engine.search.storage import open_study
from heretic_tui.errors import HereticError
from heretic_tui.parameters import Kernel, Parameters

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

# User attributes of a trial: how it ended; and, in studies of older versions, that its refusals are an estimate.
_ENDED = "ended"
_ESTIMATED = "refusals are estimated"

Sampled = Mapping[str, Any]


class Search:
    """The study of one run.

    What is asked for follows from the run's seed, the trial's number and what trials of lower numbers ended with, and
    from nothing else: the sampler is made anew before every ask, and is shown what it may know by then.

    Args:
        storage: an Optuna storage URL, or the path of a journal file.
        name: the study's name.
        depth: number of decoder layers.
        components: what kernels are searched for.

    Raises:
        UsageError: when the storage cannot be opened.
    """

    def __init__(
        self, storage: str | Path, name: str, seed: int, n_startup_trials: int, depth: int, components: Sequence[str]
    ) -> None:
        self._storage = storage
        self._name = name
        self._seed = seed
        self._n_startup_trials = n_startup_trials
        self._last = depth - 1
        self._components = components
        self._space = self._distributions()
        self._study = open_study(storage, name)

    @property
    def count(self) -> int:
        """Number of trials that the study knows, in whatever state."""
        return len(self._trials())

    def ask(self, number: int, known: int | None = None) -> Parameters:
        """The parameters of a trial: new ones, or those that were asked for before and have no result yet.

        Args:
            known: trials with lower numbers count as ended, others as running, whatever has become of them since;
                None for all.

        Raises:
            HereticError: when the study holds another number of trials, or a result for this one.
        """
        trials = self._trials()
        if number == len(trials):
            shown = trials_shown(trials, number if known is None else known)
            sampler = Sampler(self._n_startup_trials, seed_of(self._seed, number))
            self._add(sampler.draw(shown, number, self._space), number)
        elif number > len(trials) or trials[number].state != TrialState.RUNNING:
            raise HereticError(f"trial {number} was asked for, but the study holds {len(trials)} trials")
        return self.parameters(number)

    def enter(self, number: int, parameters: Parameters, sampled: Sampled) -> None:
        """Enter a trial that was asked for elsewhere, with its parameters. `sampled`: as `sampled` gave it then; where
        that is lost, it is found from the parameters, as far as they tell."""
        self._add(sampled if self._fits(sampled, parameters) else self._inverse(parameters), number)

    def tell(self, number: int, values: tuple[float, float], ended: Mapping[str, Any] | None = None) -> None:
        """Tell a result.

        Args:
            values: of the two objectives; for a trial that was not measured in full, estimates.
            ended: how the trial ended, to be kept beside.
        """
        self._keep(number, ended)
        self._study.tell(number, [compared(value) for value in values])

    def fail(self, number: int, ended: Mapping[str, Any] | None = None) -> None:
        self._keep(number, ended)
        self._study.tell(number, state=TrialState.FAIL)

    def ended(self, number: int) -> dict[str, Any] | None:
        """How a trial ended, as it was kept; None for one that is running or not there. Studies of older versions kept
        less: KL divergence, and refusals or an estimate of them, which is given as an event of then has it."""
        trials = self._trials()
        if number >= len(trials) or not trials[number].state.is_finished():
            return None
        trial = trials[number]
        if kept := trial.user_attrs.get(_ENDED):
            return dict(kept)
        if trial.state != TrialState.COMPLETE:
            return {"state": "failed", "reason": "it failed in an earlier session"}
        kl_divergence, refusals = trial.values
        if _ESTIMATED in trial.user_attrs:
            return {"state": "dominated", "kl_divergence": kl_divergence, "estimate": refusals}
        return {"state": "complete", "kl_divergence": kl_divergence, "refusals": int(refusals)}

    def told(self, number: int) -> tuple[float, float] | None:
        """The values of both objectives that the sampler learns from; None for a trial that has none."""
        trials = self._trials()
        if number >= len(trials) or trials[number].state != TrialState.COMPLETE:
            return None
        first, second = trials[number].values
        return compared(first), compared(second)

    def parameters(self, number: int) -> Parameters:
        """The parameters of a trial that the study knows."""
        return self._parameters(self._trials()[number].params)

    def sampled(self, number: int) -> dict[str, Any]:
        """The same as the sampler drew them: what `parameters` is made of."""
        return dict(self._trials()[number].params)

    def whole(self, number: int) -> bool:
        """Whether the study knows all parameters of a trial: versions that wrote one after the other may have been
        killed in between."""
        return self._trials()[number].params.keys() >= self._space.keys()

    def is_open(self, number: int) -> bool:
        """Whether the trial has still to be told a result (or is not there at all)."""
        trials = self._trials()
        return number >= len(trials) or trials[number].state == TrialState.RUNNING

    def forget(self, numbers: Container[int]) -> None:
        """Begin the study anew with all trials below the first of these, so that they can be entered again."""
        kept = []
        for trial in self._trials():
            if trial.number in numbers:
                break
            kept.append(trial)
        optuna.delete_study(study_name=self._name, storage=self._study._storage)
        self._study = open_study(self._storage, self._name)
        self._study.add_trials(kept)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _add(self, sampled: Sampled, number: int) -> None:
        if number != self.count:
            raise HereticError(f"trial {number} was to be entered, but the study holds {self.count} trials")
        values = {name: sampled[name] for name in self._space}
        # In one write: a kill leaves the whole trial or nothing.
        self._study.add_trial(create_trial(state=TrialState.RUNNING, params=values, distributions=self._space))

    def _keep(self, number: int, ended: Mapping[str, Any] | None) -> None:
        if ended is not None:
            self._study._storage.set_trial_user_attr(self._trials()[number]._trial_id, _ENDED, dict(ended))

    # The space

    def _distributions(self) -> dict[str, BaseDistribution]:
        last = self._last
        space: dict[str, BaseDistribution] = {
            "direction_scope": CategoricalDistribution(["global", "per layer"]),
            # Sampled for either scope: multivariate TPE knows no conditional parameters.
            "direction_index": FloatDistribution(0.4 * last, 0.9 * last),
        }
        for name in self._components:
            # Below 0 means 0, so that an edit of what comes after the token mixers can switch off.
            space[f"{name}.max_weight"] = FloatDistribution(-0.25 if after_the_mixers(name) else 0.8, 1.5)
            space[f"{name}.max_weight_position"] = FloatDistribution(0.6 * last, 1.0 * last)
            space[f"{name}.min_weight"] = FloatDistribution(0.0, 1.0)
            space[f"{name}.min_weight_distance"] = FloatDistribution(1.0, max(0.6 * last, 1.0))
        return space

    def _parameters(self, sampled: Sampled) -> Parameters:
        kernels = {}
        for name in self._components:
            peak = max(0.0, sampled[f"{name}.max_weight"])
            kernels[name] = Kernel(
                peak,
                sampled[f"{name}.max_weight_position"],
                sampled[f"{name}.min_weight"] * peak,
                sampled[f"{name}.min_weight_distance"],
            )
        scope, index = sampled["direction_scope"], sampled["direction_index"]
        return Parameters(index if scope == "global" else None, kernels)

    def _fits(self, sampled: Sampled, parameters: Parameters) -> bool:
        """Whether these values lie in the space, and make these parameters."""
        for name, distribution in self._space.items():
            value = sampled.get(name)
            if isinstance(distribution, FloatDistribution):
                number = isinstance(value, int | float) and not isinstance(value, bool)
                if not number or not distribution.low <= value <= distribution.high:
                    return False
            elif value not in ("global", "per layer"):
                return False
        return self._parameters(sampled) == parameters

    def _inverse(self, parameters: Parameters) -> dict[str, Any]:
        """Values that make these parameters, or nearly so."""
        index = parameters.direction_index
        found: dict[str, Any] = {"direction_scope": "per layer" if index is None else "global"}
        found["direction_index"] = math.inf if index is None else index
        for name in self._components:
            if (kernel := parameters.components.get(name)) is None:
                raise HereticError(f"a recorded trial has no {name}, which this model has: begin another run")
            peak = kernel.max_weight
            found[f"{name}.max_weight"] = peak
            found[f"{name}.max_weight_position"] = kernel.max_weight_position
            found[f"{name}.min_weight"] = kernel.min_weight / peak if peak else math.inf
            found[f"{name}.min_weight_distance"] = kernel.min_weight_distance
        for name, distribution in self._space.items():
            if isinstance(distribution, FloatDistribution):
                low, high = distribution.low, distribution.high
                # What the parameters do not tell is the middle.
                found[name] = min(max(found[name], low), high) if math.isfinite(found[name]) else (low + high) / 2
        return found

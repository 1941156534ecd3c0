"""The search: Optuna's TPE over directions and kernels, asked and told trial by trial."""

from __future__ import annotations

import warnings
from collections.abc import Container, Mapping
from pathlib import Path
from types import MappingProxyType

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from heretic_tui.engine.measuring.odds import compared
from heretic_tui.engine.search.sampler import Sampler, seed_of, trials_shown
from heretic_tui.engine.search.space import Sampled, Space
from heretic_tui.engine.search.storage import BY_HAND, open_study
from heretic_tui.errors import HereticError
from heretic_tui.parameters import Parameters

# User attributes of a trial: how it ended; and, in studies of older versions, that its refusals are an estimate.
_ENDED = "ended"
_ESTIMATED = "refusals are estimated"


def hide_output_of_optuna() -> None:
    """Let Optuna log warnings alone, and not warn of its experimental parts: the user of a run cannot act on them."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class Search:
    """The study of one run.

    What is asked for follows from the run's seed, the trial's number and what trials of lower numbers ended with, and
    from nothing else: the sampler is made again before every ask, and is shown what it may know by then.

    Trials that a person chose lie among those of the search, which learns from them. They do not count where the
    sampler is seeded: the n-th trial of the search's own has the n-th seed, so that random ones are drawn as they would
    have been without the others.

    Args:
        storage: an Optuna storage URL, or the path of a journal file.
        name: the study's name.
        space: what is searched.

    Raises:
        UsageError: when the storage cannot be opened.
    """

    def __init__(self, storage: str | Path, name: str, seed: int, n_startup_trials: int, space: Space) -> None:
        self._storage = storage
        self._name = name
        self._seed = seed
        self._n_startup_trials = n_startup_trials
        self._space = space
        self._study = open_study(storage, name)

    @property
    def count(self) -> int:
        """Number of trials that the study knows, in whatever state."""
        return len(self._trials())

    def ask(
        self,
        number: int,
        known: int | None = None,
        values: Mapping[int, tuple[float, float]] = MappingProxyType({}),
    ) -> Parameters:
        """The parameters of a trial: new ones, or those that were asked for before and have no result yet.

        Args:
            known: trials with lower numbers count as ended, others as running, whatever their state is now;
                None for all.
            values: of both objectives, in place of those that were told, by the trial's number.

        Raises:
            HereticError: when the study holds another number of trials, or a result for this one.
        """
        trials = self._trials()
        if number == len(trials):
            shown = trials_shown(trials, number if known is None else known, values)
            own = sum(BY_HAND not in trial.user_attrs for trial in trials)
            sampler = Sampler(self._n_startup_trials, seed_of(self._seed, own))
            self._add(sampler.draw(shown, number, self._space.dimensions), number)
        elif number > len(trials) or trials[number].state != TrialState.RUNNING:
            raise HereticError(f"trial {number} was asked for, but the study holds {len(trials)} trials")
        return self.parameters(number)

    def enter(
        self, number: int, parameters: Parameters, sampled: Sampled, by_hand: bool = False, origin: str = ""
    ) -> None:
        """Enter a trial that was asked for elsewhere, or chosen by hand, with its parameters.

        Args:
            sampled: as `sampled` gave it then; where that is lost, it is found from the parameters, as far as they
                tell.
            origin: what file or run a trial that was chosen by hand is from; empty where it is from none.
        """
        point = sampled if self._space.makes(sampled, parameters) else self._space.point(parameters)
        self._add(point, number, {BY_HAND: origin or True} if by_hand else {})

    def by_hand(self, number: int) -> bool:
        """Whether the study knows a trial as one that was chosen by hand."""
        trials = self._trials()
        return number < len(trials) and BY_HAND in trials[number].user_attrs

    def origin(self, number: int) -> str:
        """What file or run a trial that was chosen by hand is from; empty where it is from none."""
        found = self._trials()[number].user_attrs.get(BY_HAND)
        return found if isinstance(found, str) else ""

    def tell(self, number: int, values: tuple[float, float], ended: Mapping[str, object] | None = None) -> None:
        """Tell a result.

        Args:
            values: of the two objectives; for a trial that was not measured in full, estimates.
            ended: how the trial ended, to be kept with it.
        """
        self._keep(number, ended)
        self._study.tell(number, [compared(value) for value in values])

    def fail(self, number: int, ended: Mapping[str, object] | None = None) -> None:
        self._keep(number, ended)
        self._study.tell(number, state=TrialState.FAIL)

    def ended(self, number: int) -> dict[str, object] | None:
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
        return self._space.parameters(self._trials()[number].params)

    def sampled(self, number: int) -> dict[str, float | str]:
        """The same as the sampler drew them: what `parameters` is made of."""
        return dict(self._trials()[number].params)

    def whole(self, number: int) -> bool:
        """Whether the study knows all parameters of a trial: versions that wrote one after the other may have been
        killed in between."""
        return self._trials()[number].params.keys() >= self._space.dimensions.keys()

    def is_open(self, number: int) -> bool:
        """Whether the trial has no result yet (or does not exist)."""
        trials = self._trials()
        return number >= len(trials) or trials[number].state == TrialState.RUNNING

    def forget(self, numbers: Container[int]) -> None:
        """Start the study again with all trials below the first of these, so that they can be entered again."""
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

    def _add(self, sampled: Sampled, number: int, attributes: Mapping[str, object] = MappingProxyType({})) -> None:
        if number != self.count:
            raise HereticError(f"trial {number} was to be entered, but the study holds {self.count} trials")
        dimensions = self._space.dimensions
        values = {name: sampled[name] for name in dimensions}
        # In one write: a crash leaves the whole trial or nothing.
        self._study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=values,
                distributions=self._space.dimensions,
                user_attrs=dict(attributes),
            )
        )

    def _keep(self, number: int, ended: Mapping[str, object] | None) -> None:
        if ended is not None:
            self._study._storage.set_trial_user_attr(self._trials()[number]._trial_id, _ENDED, dict(ended))

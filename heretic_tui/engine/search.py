"""The search: Optuna's TPE over directions and kernels, asked and told trial by trial."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState

from heretic_tui.engine.parameters import Kernel, Parameters
from heretic_tui.engine.roles import after_the_mixers
from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.runtime.files import trim_torn_line
from heretic_tui.runtime.text import without_passwords

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

_ESTIMATED = "refusals are estimated"


class Search:
    """The study of one run.

    A run that was interrupted asks for the same trials as one that was not: the sampler is seeded from the run's seed
    and the trial's number before every ask, and a trial that was left running is taken up again under its own number.

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
        self._seed = seed
        self._n_startup_trials = n_startup_trials
        self._last = depth - 1
        self._components = components
        self._study = open_study(storage, name)

    @property
    def count(self) -> int:
        """Number of trials that the study knows, in whatever state."""
        return len(self._trials())

    def ask(self, number: int) -> Parameters:
        """The parameters of a trial: a new one, or one that was asked for before and has no result yet.

        Raises:
            HereticError: when the study holds another number of trials, or a result for this one.
        """
        trials = self._trials()
        self._study.sampler = self._sampler(number)
        if number == len(trials):
            trial = self._study.ask()
        elif number < len(trials) and trials[number].state == TrialState.RUNNING:
            trial = Trial(self._study, trials[number]._trial_id)
        else:
            raise HereticError(f"trial {number} was asked for, but the study holds {len(trials)} trials")
        return self._suggest(trial)

    def tell(self, number: int, kl_divergence: float, refusals: float, estimated: bool = False) -> None:
        """Tell a result. `estimated`: the refusals of a trial that was not measured in full."""
        if estimated:
            self._study._storage.set_trial_user_attr(self._trials()[number]._trial_id, _ESTIMATED, True)
        self._study.tell(number, [kl_divergence, float(refusals)])

    def fail(self, number: int) -> None:
        self._study.tell(number, state=TrialState.FAIL)

    def result(self, number: int) -> tuple[float, float, bool] | None:
        """KL divergence and refusals as told, and whether the latter are an estimate; None for a trial that is
        running, failed, or not there."""
        trials = self._trials()
        if number >= len(trials) or trials[number].state != TrialState.COMPLETE:
            return None
        kl_divergence, refusals = trials[number].values
        return kl_divergence, refusals, _ESTIMATED in trials[number].user_attrs

    def parameters(self, number: int) -> Parameters:
        """The parameters of a trial that the study knows."""
        return self._suggest(FixedTrial(self._trials()[number].params))

    def is_open(self, number: int) -> bool:
        """Whether the trial has still to be told a result (or is not there at all)."""
        trials = self._trials()
        return number >= len(trials) or trials[number].state == TrialState.RUNNING

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        return _Sampler(
            multivariate=True,
            n_ei_candidates=128,
            n_startup_trials=self._n_startup_trials,
            seed=_seed_of(self._seed, number),
            # Trials that are still being measured count as bad ones, so that several asked for at once differ.
            constant_liar=True,
        )

    def _suggest(self, trial: Trial | FixedTrial) -> Parameters:
        last = self._last
        scope = trial.suggest_categorical("direction_scope", ["global", "per layer"])
        # Sampled for either scope: multivariate TPE knows no conditional parameters.
        index = trial.suggest_float("direction_index", 0.4 * last, 0.9 * last)
        kernels = {}
        for name in self._components:
            # Below 0 means 0, so that an edit of what comes after the token mixers can switch off.
            lowest = -0.25 if after_the_mixers(name) else 0.8
            peak = max(0.0, trial.suggest_float(f"{name}.max_weight", lowest, 1.5))
            position = trial.suggest_float(f"{name}.max_weight_position", 0.6 * last, 1.0 * last)
            fraction = trial.suggest_float(f"{name}.min_weight", 0.0, 1.0)
            distance = trial.suggest_float(f"{name}.min_weight_distance", 1.0, max(0.6 * last, 1.0))
            kernels[name] = Kernel(peak, position, fraction * peak, distance)
        return Parameters(index if scope == "global" else None, kernels)


def open_study(storage: str | Path, name: str) -> optuna.Study:
    """The study of a run, a new one where there is none. To be called by the holder of the run's lock only.

    Raises:
        UsageError: when the storage cannot be opened, or what it holds cannot be read.
    """
    try:
        backend = None
        if isinstance(storage, Path):
            # Only the holder of the run's lock writes here, so what a kill left can be cleared away: half a line,
            # and the journal's own lock, which would hold up this process for a grace period.
            trim_torn_line(storage)
            storage.with_name(storage.name + ".lock").unlink(missing_ok=True)
            backend = JournalStorage(_Journal(str(storage), JournalFileOpenLock(str(storage))))
        return optuna.create_study(
            storage=backend or str(storage),
            study_name=name,
            directions=["minimize", "minimize"],
            load_if_exists=True,
        )
    except Exception as error:
        raise UsageError(
            f"the trials' storage {without_passwords(str(storage))} cannot be read: {one_line(error)}; put back "
            "a copy, or delete it: finished trials are in events.jsonl as well and are entered again"
        ) from error


class _Journal(JournalFileBackend):
    """Optuna's journal, that leaves no half of a line where the disk is full."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        path = self._file_path
        end = os.path.getsize(path)
        try:
            super().append_logs(logs)
        except OSError:
            os.truncate(path, end)
            raise


class _Sampler(optuna.samplers.TPESampler):
    """TPE that draws each random parameter from a seed of its own.

    A kill can come when the study has stored some of a trial's parameters: those are not drawn again, so draws in a
    row from one generator would give the others other values than they had.
    """

    def __init__(self, *, seed: int, **options: Any) -> None:
        super().__init__(seed=seed, **options)
        self._own_seed = seed

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        sampler = optuna.samplers.RandomSampler(seed=_seed_of(self._own_seed, param_name))
        return sampler.sample_independent(study, trial, param_name, param_distribution)


def _seed_of(*parts: object) -> int:
    digest = hashlib.sha256(":".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:4], "big")

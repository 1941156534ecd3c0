"""Twenty random trials on a real model, to be measured in one way or another and compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.measuring.fast_pool import FastPool
from heretic_tui.engine.measuring.job import Evaluation, Job, Pool
from heretic_tui.engine.search.space import Space
from heretic_tui.engine.search.study import Search
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.workbench import open_workbench
from heretic_tui.run.folder import RunFolder
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work

TRIALS = 20


class Course:
    """A model made ready, and random trials to measure on it in one way or another."""

    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        inputs = check_inputs(load_settings({**settings, "seed": 0}, environment=False))
        run = RunFolder(folder)
        run.create()
        self.bench = open_workbench(RunInputs.of(inputs.settings, inputs.sets, run), Work())
        space = Space(self.bench.model.depth, self.bench.model.anatomy.components)
        study = Search(run.study, "study", 0, TRIALS, space)
        self._trials = [study.ask(number) for number in range(TRIALS)]
        assert isinstance(self.bench.baseline.pool, FastPool)

    @property
    def evaluation(self) -> Evaluation:
        return self.bench.baseline.evaluation

    def measure(self, pool: Pool, at_once: int) -> list[Job]:
        return measured(
            pool, [self.bench.job(number, parameters) for number, parameters in enumerate(self._trials)], at_once
        )


def measured(pool: Pool, waiting: list[Job], at_once: int) -> list[Job]:
    """All jobs, several in hand at once, in the order of their numbers."""
    waiting, in_hand, done = list(waiting), 0, []
    while waiting or in_hand:
        while waiting and in_hand < at_once:
            pool.start(waiting.pop(0))
            in_hand += 1
        done.append(pool.advance())
        in_hand -= 1
    return sorted(done, key=lambda job: job.number or 0)


def assert_same(found: list[Job], expected: list[Job]) -> None:
    """The same figures of first tokens, and the same verdict for every prompt."""
    for one, other in zip(found, expected, strict=True):
        assert one.figures == pytest.approx(other.figures, abs=1e-5)
        verdicts = [[r and r.verdict.refused for r in job.responses] for job in (one, other)]
        assert verdicts[0] == verdicts[1]

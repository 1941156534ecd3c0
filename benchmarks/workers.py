"""Trials a minute of one process and of workers, on one machine in turn, each way with the same number of trials.

OMP_NUM_THREADS=1 python -m benchmarks.workers --rounds 3 --n-trials 60
OMP_NUM_THREADS=1 python -m benchmarks.workers MODEL --good-prompts FILE --bad-prompts FILE ...

Each worker computes with as many threads as this process has (Ray gives each its share of the processors: name as many
workers as there are processors for one thread each). Time counts from the moment when all workers have loaded their
model, which is told apart, to the end of the last trial.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.model_asked import add_model, settings_asked
from heretic_tui import events as ev
from heretic_tui.control import Control
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.session.session import Session
from heretic_tui.settings.schema import Settings


@dataclass(frozen=True)
class Found:
    """One search. `seconds` of its trials; `loading` of its workers before."""

    trials: int
    seconds: float
    loading: float

    @property
    def rate(self) -> float:
        """Trials a minute."""
        return 60 * self.trials / self.seconds


def search(settings: Settings, workers: int) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        given = settings.model_copy(update={"runs_dir": folder, "workers": str(workers)})
        session = Session(check_inputs(given), Control())
        began: float | None = None
        asked = ended = 0.0
        ready: set[str] = set()

        def hear(event: ev.Event) -> None:
            nonlocal began, asked, ended
            now = time.perf_counter()
            match event:
                case ev.SpaceKnown():
                    asked = now
                    began = now if not workers else began
                case ev.WorkerChanged() if event.state in ("waits", "measuring"):
                    ready.add(event.worker)
                    if len(ready) == workers and began is None:
                        began = now
                case ev.TrialFinished():
                    ended = now

        session.listeners.append(hear)
        try:
            session.run()
        finally:
            session.close()
        assert began is not None
        return Found(session.state.finished, ended - began, began - asked)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", type=int, nargs="+", default=[0, 1, 2], help="numbers of workers; 0: one process")
    options = parser.parse_args(arguments)
    # Random trials: the course of a search depends on how many are in hand.
    fixed = {"n_startup_trials": 10_000, "screening": "off", "layer_test_prompts": 0, "keep_residuals": False}
    settings = settings_asked(options, {"n_trials": 60, "seed": 0}, fixed)
    found: dict[int, list[Found]] = {way: [] for way in options.ways}
    for number in range(options.rounds):
        # In another order each time: what else the machine does changes slowly.
        for way in options.ways if number % 2 == 0 else reversed(options.ways):
            one = search(settings, way)
            found[way].append(one)
            print(f"{way} workers: {one.rate:.1f} trials a minute ({one.loading:.1f} s to load)", flush=True)
    first = statistics.median(one.rate for one in found[options.ways[0]])
    for way, several in found.items():
        rate = statistics.median(one.rate for one in several)
        print(f"{way} workers: {rate:.1f} trials a minute in the median, {rate / first:.2f} times {options.ways[0]}")


if __name__ == "__main__":
    main()

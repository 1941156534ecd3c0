"""Whole searches with and without stopping trials that have lost: time, hypervolume of the front, trials a minute, and
how honest the estimates are that the sampler is told.

python -m benchmarks.study_cost --seeds 5 --n-trials 60
python -m benchmarks.study_cost MODEL --good-prompts FILE --bad-prompts FILE --good-evaluation-prompts FILE ...
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from heretic_tui.control import Control
from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.session.session import Session
from heretic_tui.run.state import RunState
from heretic_tui.settings.flags import add_flags, flags_of
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("given_model", nargs="?", metavar="MODEL", help="folder or Hub id; default: the demo model")
    parser.add_argument("--seeds", type=int, default=3, help="searches each way [3]")
    parser.add_argument("--checked", type=int, default=20, help="dominated trials measured in full afterwards [20]")
    add_flags(parser, Settings.model_fields)
    options = parser.parse_args()
    base = None if options.given_model else settings_of_the_demo()
    flags = flags_of(options) | ({"model": options.given_model} if options.given_model else {})
    rows: dict[str, list[tuple[float, RunState]]] = {"all in full": [], "early stop": []}
    errors: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        for seed in range(options.seeds):
            # In turn, so that what else the machine does falls on both.
            for way, early in (("all in full", False), ("early stop", True)):
                changes = {"seed": seed, "early_stop": early, "runs_dir": str(Path(name) / way)}
                seconds, session = search(load_settings({**flags, **changes}, base=base))
                rows[way].append((seconds, session.state))
                if early:
                    errors += check_estimates(session, options.checked // options.seeds + 1)
                session.close()
                print(f"seed {seed}, {way}: {seconds:.1f} s, front {front_words(session.state)}", flush=True)
    corner = reference([state for found in rows.values() for _, state in found])
    print(f"\nhypervolume under KL {corner[0]:.4f} and {corner[1]} refusals, as a share of that box")
    for way, found in rows.items():
        volumes = [hypervolume(state, corner) for _, state in found]
        seconds = statistics.fmean(s for s, _ in found)
        trials = found[0][1].n_trials
        stopped = statistics.fmean(sum(t.state == "dominated" for t in state.trials.values()) for _, state in found)
        each = ", ".join(f"{volume:.4f}" for volume in volumes)
        print(
            f"{way:12}{seconds:8.1f} s  {60 * trials / seconds:7.1f} trials a minute  {stopped:5.1f} stopped  "
            f"hypervolume {statistics.fmean(volumes):.4f} ({each})"
        )
    full_seconds, early_seconds = (statistics.fmean(s for s, _ in found) for found in rows.values())
    print(f"ratio of times {full_seconds / early_seconds:.2f}")
    if errors:
        print(
            f"estimates of {len(errors)} stopped trials: mean error {statistics.fmean(errors):+.1f} refusals, "
            f"mean absolute error {statistics.fmean(map(abs, errors)):.1f}"
        )


def search(settings: Settings) -> tuple[float, Session]:
    """One whole run. Seconds of its search alone, and the session, still open."""
    session = Session(check_inputs(settings), Control())
    times: list[float] = []
    session.listeners.append(lambda event: times.append(time.perf_counter()) if event.type == "trial_started" else None)
    session.run()
    return time.perf_counter() - times[0], session


def check_estimates(session: Session, count: int) -> list[float]:
    """Estimate minus truth for some of the trials that were stopped."""
    stopped = [t for t in session.state.trials.values() if t.state == "dominated"]
    chosen = stopped[:: max(1, len(stopped) // count)][:count]
    bench = session.workbench
    assert bench is not None
    found = [bench.measure(trial.required_parameters) for trial in chosen]
    return [
        trial.estimate["refusals"] - measured.figures["refusals"] for trial, measured in zip(chosen, found, strict=True)
    ]


def reference(states: list[RunState]) -> tuple[float, int]:
    """The worst KL divergence on any front, and all refusals."""
    prompts = max(state.base.prompts for state in states if state.base)
    return max(t.figures["kl_divergence"] for state in states for t in state.front()), prompts


def hypervolume(state: RunState, corner: tuple[float, int]) -> float:
    """Area that the front dominates below the corner, as a share of the box from the origin to it."""
    area, refusals = 0.0, float(corner[1])
    for trial in sorted(state.front(), key=lambda t: t.figures["kl_divergence"]):
        area += (refusals - trial.figures["refusals"]) * (corner[0] - trial.figures["kl_divergence"])
        refusals = float(trial.figures["refusals"])
    return area / (corner[0] * corner[1])


def front_words(state: RunState) -> str:
    return ", ".join(f"{t.figures['refusals']} at {t.figures['kl_divergence']:.4f}" for t in state.front()[:4])


if __name__ == "__main__":
    main()

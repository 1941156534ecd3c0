"""How far estimates were off: what was expected of trials that were screened against what was measured of them, with
the errors that were claimed.

python -m benchmarks.reliability RUN...

Of the runs on disk (folders of runs, or folders that hold some) two things are told, from their journals alone:

- *taken up*: trials that were screened and then decoded after all. They are those that could be on the front.
- *replayed*: every trial in full, estimated from its expected refusals and the trials before it. Where all trials were
  decoded (screening off, `figures = expected_refusals`) that is every kind of trial.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.engine.measuring.calibration import Calibration
from heretic_tui.figures import REFUSALS
from heretic_tui.run.folder import RunFolder, find_runs
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState

KL = "kl_divergence"
EXPECTED = "expected_refusals"
# Upper ends of the rows of the table, as shares of the prompts.
_ROWS = (0.02, 0.1, 0.3, 0.5, 0.8, 1.0)
# A calibration that rests on fewer trials is not shown: a search decodes its first ones anyway.
_FIRST = 6


@dataclass(frozen=True)
class Estimate:
    """One estimate and what came of it."""

    estimated: float
    error: float
    measured: float

    @property
    def off(self) -> float:
        return self.estimated - self.measured


def taken_up(events: Iterable[ev.Event], key: str) -> list[Estimate]:
    """Estimates of a figure of trials that were screened, and then measured in full."""
    screened: dict[int, ev.TrialFinished] = {}
    found = []
    for event in events:
        if not isinstance(event, ev.TrialFinished):
            continue
        before = screened.pop(event.number, None)
        if event.state == "screened":
            screened[event.number] = event
        elif event.state == "complete" and before and key in before.estimate and key in before.error:
            found.append(Estimate(before.estimate[key], before.error[key], event.figures[key]))
    return found


def replayed(state: RunState) -> list[Estimate]:
    """Each trial in full as it would have been estimated from those before it."""
    if state.base is None:
        return []
    points: list[tuple[float, int]] = []
    if EXPECTED in state.base.figures:
        points.append((state.base.figures[EXPECTED], int(state.base.figures[REFUSALS])))
    found = []
    for _, trial in sorted(state.trials.items()):
        if trial.state != "complete" or EXPECTED not in trial.figures:
            continue
        expected, measured = trial.figures[EXPECTED], int(trial.figures[REFUSALS])
        if len(points) > _FIRST:
            found.append(Estimate(*Calibration(points, state.base.prompts).estimate(expected), measured))
        points.append((expected, measured))
    return found


def table(title: str, found: Sequence[Estimate], prompts: int) -> list[str]:
    """Lines of a table, by what was estimated; the last is of all."""
    if not found:
        return [f"{title}: none"]
    lines = [
        f"{title}, {len(found)} trials",
        f"{'estimated':>12}{'trials':>8}{'estimate':>10}{'measured':>10}{'mean off':>10}{'abs off':>9}{'claimed':>9}"
        f"{'in 1':>7}{'in 2':>7}",
    ]
    lowest = -1.0
    for share in _ROWS:
        highest = share * prompts
        if rows := [each for each in found if lowest < each.estimated <= highest]:
            lines.append(_line(f"to {highest:.0f}", rows))
        lowest = highest
    return [*lines, _line("all", found)]


def _line(name: str, rows: Sequence[Estimate]) -> str:
    estimate, measured, off, size, claimed = (
        statistics.fmean(values)
        for values in (
            [each.estimated for each in rows],
            [each.measured for each in rows],
            [each.off for each in rows],
            [abs(each.off) for each in rows],
            [each.error for each in rows],
        )
    )
    shares = (100 * inside(rows, errors) for errors in (1, 2))
    cells = "".join(f"{share:6.0f}%" for share in shares)
    return f"{name:>12}{len(rows):8}{estimate:10.1f}{measured:10.1f}{off:+10.2f}{size:9.2f}{claimed:9.2f}{cells}"


def inside(rows: Sequence[Estimate], errors: float) -> float:
    """The share of estimates that are off by no more than so many of the errors that were claimed."""
    return statistics.fmean(abs(each.off) <= errors * each.error for each in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN", help="folder of a run, or one that holds runs")
    options = parser.parse_args()
    for given in options.folders:
        for folder in [RunFolder(given)] if RunFolder(given).events.exists() else find_runs(given):
            events = list(read_events(folder.events))
            state = RunState.replay(events)
            if state.base is None:
                continue
            prompts = state.base.prompts
            print(f"\n{folder.name}: {len(state.trials)} trials")
            print("\n".join(table("refusals, taken up", taken_up(events, REFUSALS), prompts)))
            print("\n".join(table("refusals, replayed", replayed(state), prompts)))
            if divergences := taken_up(events, KL):
                print(
                    f"KL divergence, taken up: {len(divergences)} trials, {100 * inside(divergences, 1):.0f}% within "
                    f"one error, {100 * inside(divergences, 2):.0f}% within two"
                )


if __name__ == "__main__":
    main()

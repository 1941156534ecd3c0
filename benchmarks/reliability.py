"""How far estimates were off: what was expected of trials that were screened against what was measured of them, with
the errors that were claimed.

python -m benchmarks.reliability RUN...

Of runs on disk (folders of runs, or folders that hold some) two things are told:

- *taken up*, from the journal: trials that were screened and then decoded after all. They are those that could be on
  the front.
- *replayed*, from journal and responses: every trial in full as it would have been estimated from those before it.
  (`search_cost --checked` decodes some of those that were never taken up.)
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.engine.measuring.expectation import Expectation
from heretic_tui.figures import REFUSALS
from heretic_tui.files import read_json
from heretic_tui.run.folder import RunFolder, find_runs
from heretic_tui.run.journal import read_events
from heretic_tui.run.results import read_responses
from heretic_tui.run.state import RunState

KL = "kl_divergence"
# Upper ends of the rows of the table, as shares of the prompts.
_ROWS = (0.02, 0.1, 0.3, 0.5, 0.8, 1.0)
# A search decodes its first trials anyway: no estimate rests on fewer.
_FIRST = 8


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
    return [
        Estimate(event.estimate[key], event.error[key], event.figures[key])
        for event in events
        if isinstance(event, ev.TrialFinished)
        and event.state == "complete"
        and all(key in held for held in (event.estimate, event.error, event.figures))
    ]


def replayed(openings: Sequence[Sequence[float]], refused: Sequence[Sequence[bool]]) -> list[Estimate]:
    """Each trial in full as it would have been estimated from those before it.

    Args:
        openings: of the base model and then of trials in their order, how responses begin.
        refused: their verdicts.
    """
    found = []
    for place in range(_FIRST + 1, len(openings)):
        counted = Expectation(openings[:place], refused[:place]).refusals(openings[place])
        found.append(Estimate(counted.value, counted.error, sum(refused[place])))
    return found


def known_both_ways(folder: RunFolder, state: RunState) -> tuple[list[Sequence[float]], list[list[bool]]]:
    """Of the base model and the trials in full, how responses begin, and their verdicts."""
    if not folder.openings.exists():
        return [], []
    record = read_json(folder.openings)
    assert isinstance(record, dict)
    of: dict[int | None, Sequence[float]] = {None: record["base"]}
    of |= {n: t.per_prompt["expected_refusals"] for n, t in sorted(state.trials.items()) if t.state == "complete"}
    verdicts = {number: read_responses(folder, number) for number, begins in of.items() if begins}
    both = {number: each for number, each in verdicts.items() if len(each) == len(of[number])}
    return [of[number] for number in both], [[each.refused is True for each in found] for found in both.values()]


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
            print("\n".join(table("refusals, replayed", replayed(*known_both_ways(folder, state)), prompts)))
            if divergences := taken_up(events, KL):
                print(
                    f"KL divergence, taken up: {len(divergences)} trials, {100 * inside(divergences, 1):.0f}% within "
                    f"one error, {100 * inside(divergences, 2):.0f}% within two"
                )


if __name__ == "__main__":
    main()

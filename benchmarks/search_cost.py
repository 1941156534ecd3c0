"""Whole searches on one machine in turn: every trial decoded, and screening; time, tokens, and how good the front is.

python -m benchmarks.search_cost --seeds 3 --n-trials 200 --plain 6
python -m benchmarks.search_cost MODEL --good-prompts FILE --bad-prompts FILE --good-evaluation-prompts FILE ...

The ways are the values of the setting `screening`, and `full`: off, and no trial is stopped early. The plain way's cost
(benchmarks/trial_cost.py) is measured after each search on some of its trials, so that a ratio is of one run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fronts import Point, hypervolume, log_hypervolume
from benchmarks.model_asked import add_model, settings_asked
from benchmarks.reliability import KL, Estimate, table
from benchmarks.trial_cost import Plain
from heretic_tui import events as ev
from heretic_tui.control import Control
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.measuring.fast_pool import FastPool
from heretic_tui.engine.session.session import Session
from heretic_tui.figures import REFUSALS
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.settings.schema import Settings

Volume = Callable[[Iterable[Point], int], float]

WAYS: dict[str, dict[str, object]] = {
    "full": {"screening": "off", "early_stop": False},
    "off": {"screening": "off"},
    "safe": {"screening": "safe"},
    "fast": {"screening": "fast"},
}


@dataclass
class Found:
    """One search. `seconds` from its first trial's beginning to its last one's end; `preparation` before that; `tokens`
    that were computed meanwhile, of prompts and of responses."""

    seconds: float
    preparation: float
    tokens: dict[str, int]
    state: RunState
    checked: list[Estimate] = field(default_factory=list)
    missed: int = 0

    @property
    def decoded(self) -> int:
        return sum(trial.state in ("complete", "dominated") for trial in self.state.trials.values())

    @property
    def points(self) -> list[Point]:
        """Of what was measured in full."""
        return [
            (trial.figures[KL], trial.figures[REFUSALS])
            for trial in self.state.trials.values()
            if trial.state == "complete"
        ]

    @property
    def prompts(self) -> int:
        assert self.state.base
        return self.state.base.prompts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="searches each way [3]")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--ways", default="off,safe,fast", help=f"of {', '.join(WAYS)} [off,safe,fast]")
    parser.add_argument("--plain", type=int, default=0, help="trials that are measured the plain way too [0]")
    parser.add_argument("--checked", type=int, default=0, help="screened trials that are decoded afterwards [0]")
    parser.add_argument("--keep", type=Path, help="folder for the runs; unset: they are deleted")
    add_model(parser)
    options = parser.parse_args()
    ways = options.ways.split(",")
    found: dict[str, list[Found]] = {way: [] for way in ways}
    plain: list[float] = []
    searches = options.seeds * len(ways)
    with tempfile.TemporaryDirectory() as name:
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            # In turn, so that what else the machine does falls on all.
            for way in ways:
                changes = {"seed": seed, "runs_dir": str((options.keep or Path(name)) / way), **WAYS[way]}
                one, session = search(settings_asked(options, fixed=changes))
                check(session, one, options.checked // options.seeds)
                done = sum(map(len, found.values()))
                share = options.plain * (done + 1) // searches - options.plain * done // searches
                plain += plain_seconds(session, share)
                session.close()
                found[way].append(one)
                print(f"seed {seed}, {way}: {in_words(one)}", flush=True)
    for way in ways:
        print("\n".join(summary(way, found[way])))
    print("\n".join(ratios(found, plain)))


def search(settings: Settings) -> tuple[Found, Session]:
    """One whole run; the session is still open."""
    session = Session(check_inputs(settings), Control())
    began = time.perf_counter()
    # Of the first trial's beginning and the latest one's end.
    marks: dict[str, tuple[float, dict[str, int]]] = {}

    def listen(event: ev.Event) -> None:
        if isinstance(event, ev.TrialStarted):
            marks.setdefault("first", (time.perf_counter(), tokens_of(session)))
        elif isinstance(event, ev.TrialFinished):
            marks["last"] = time.perf_counter(), tokens_of(session)

    session.listeners.append(listen)
    session.run()
    (first, before), (last, after) = marks["first"], marks["last"]
    tokens = {kind: after[kind] - before.get(kind, 0) for kind in after}
    return Found(last - first, first - began, tokens, session.state), session


def tokens_of(session: Session) -> dict[str, int]:
    pool = session.workbench.baseline.pool if session.workbench else None
    return dict(pool.tokens) if isinstance(pool, FastPool) else {}


def check(session: Session, found: Found, count: int) -> None:
    """Decode some of the trials that were screened to the end: how far estimates were off, and whether one of them
    belongs to the front."""
    screened = [trial for trial in session.state.trials.values() if trial.state == "screened"]
    bench, front = session.workbench, found.points
    assert bench is not None
    for trial in screened[:: max(1, len(screened) // count)][:count] if count else []:
        figures = bench.measure(trial.required_parameters).figures
        if REFUSALS in trial.error:
            found.checked.append(Estimate(trial.estimate[REFUSALS], trial.error[REFUSALS], figures[REFUSALS]))
        found.missed += not any(kl <= figures[KL] and refusals <= figures[REFUSALS] for kl, refusals in front)


def plain_seconds(session: Session, count: int) -> list[float]:
    """Seconds that some of a run's trials take the plain way."""
    assert session.workbench is not None
    way, seconds = Plain(session.workbench), []
    for trial in list(session.state.trials.values())[:count]:
        start = time.perf_counter()
        way.measure([trial.required_parameters])
        seconds.append(time.perf_counter() - start)
    return seconds


def in_words(found: Found) -> str:
    volume = hypervolume(found.points, found.prompts)
    front = ", ".join(f"{t.figures[REFUSALS]:g} at {t.figures[KL]:.4f}" for t in found.state.front()[:4])
    return f"{found.seconds:.1f} s, {found.decoded} decoded, hypervolume {volume:.4f}, front {front}"


def summary(way: str, found: Sequence[Found]) -> list[str]:
    """What is known of one way: means over its searches, and what each stage takes."""
    states = [trial for one in found for trial in one.state.trials.values()]
    kinds = ("complete", "dominated", "screened", "failed")
    counts = {kind: sum(t.state == kind for t in states) / len(found) for kind in kinds}
    tokens = {kind: statistics.fmean(one.tokens.get(kind, 0) for one in found) for kind in ("prompts", "decoding")}
    lines = [
        f"\n{way}: {statistics.fmean(one.seconds for one in found):.1f} s a search, "
        f"{statistics.fmean(one.preparation for one in found):.1f} s before it; "
        + ", ".join(f"{count:.1f} {kind}" for kind, count in counts.items() if count),
        f"  {tokens['prompts']:,.0f} tokens of prompts and {tokens['decoding']:,.0f} of responses",
        f"  hypervolume {volumes(found, hypervolume)}, logarithmic {volumes(found, log_hypervolume)}",
    ]
    lines += [f"  {line}" for line in stages(states, len(found))]
    if checked := [each for one in found for each in one.checked]:
        lines += [f"  {line}" for line in table("screened trials decoded afterwards", checked, found[0].prompts)]
        lines.append(f"  of these, {sum(one.missed for one in found)} belong to the front")
    return lines


def volumes(found: Sequence[Found], volume: Volume) -> str:
    values = [volume(one.points, one.prompts) for one in found]
    return f"{statistics.fmean(values):.4f} ({', '.join(f'{value:.4f}' for value in values)})"


def stages(trials: Sequence[TrialRecord], searches: int) -> list[str]:
    """How many trials of a search reach each stage, and what it takes of those."""
    names = dict.fromkeys(stage for trial in trials for stage in trial.stages)
    lines = []
    for name in names:
        seconds = [trial.stages[name] for trial in trials if trial.stages.get(name)]
        if seconds:
            mean = statistics.fmean(seconds)
            lines.append(f"{name:24}{len(seconds) / searches:7.1f} trials, {mean:8.3f} s each, {sum(seconds):8.1f} s")
    return lines


def ratios(found: dict[str, list[Found]], plain: Sequence[float]) -> list[str]:
    """Times and hypervolumes of the ways beside the first one's, seed by seed; and beside the plain way."""
    first = next(iter(found))
    lines = [""]
    for way, searches in found.items():
        if way != first:
            pairs = list(zip(searches, found[first], strict=True))
            times = [one.seconds / other.seconds for one, other in pairs]
            shares = [
                volume(one.points, one.prompts) / max(volume(other.points, other.prompts), 1e-9)
                for volume in (hypervolume, log_hypervolume)
                for one, other in pairs
            ]
            half = len(pairs)
            lines.append(
                f"{way} takes {statistics.fmean(times):.3f} of the time of {first} "
                f"({', '.join(f'{t:.3f}' for t in times)}); hypervolume {statistics.fmean(shares[:half]):.4f} of it "
                f"({', '.join(f'{s:.4f}' for s in shares[:half])}), logarithmic {statistics.fmean(shares[half:]):.4f}"
            )
    if plain:
        each = statistics.fmean(plain)
        lines.append(f"the plain way: {each:.2f} s a trial ({len(plain)} trials)")
        for way, searches in found.items():
            ratio = statistics.fmean(each * len(one.state.trials) / one.seconds for one in searches)
            lines.append(f"  as many trials the plain way take {ratio:.1f} times as long as {way}")
    return lines


if __name__ == "__main__":
    main()

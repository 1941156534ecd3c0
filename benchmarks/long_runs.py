"""What runs of many trials cost: seconds at N trials and at ten times as many, and the ratio, which is near 10 where
the work grows with the trials, and near 100 where every trial looks at all others.

    python -m benchmarks.long_runs [--trials 1000] [--no-screen]

`runs` is the line that `heretic-tui runs` prints, `show` the record of `show --json`, `log` the lines of the Log
screen, and `follow` the time until the screen of `heretic-tui follow` has a trial, and all trials, in its table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Tail
from heretic_tui.run.overview import details, overview
from heretic_tui.run.record import RunRecord
from heretic_tui.run.state import RunState
from heretic_tui.tui.other_process import FollowHost
from tests.support import fake_run


def write_run(folder: Path, trials: int) -> RunFolder:
    """A run folder with four events a trial, every sixth trial dominated."""
    run = RunFolder(folder)
    run.create()
    run.save_record(RunRecord(model="acme/long", settings={}, identity={}, seed=1))
    rng = random.Random(0)
    with run.events.open("w", encoding="utf-8") as file:

        def write(seq: int, event: ev.Event) -> int:
            record = {"seq": seq, "time": 1.7e9 + seq, **event.to_json()}
            file.write(json.dumps(record) + "\n")
            return seq + 1

        seq = 0
        for event in fake_run.preparation(trials):
            seq = write(seq, event)
        for number in range(trials):
            kl, refusals = rng.lognormvariate(-2, 1), rng.randrange(100)
            found: dict[str, object] = {"state": "complete", "figures": {"kl_divergence": kl, "refusals": refusals}}
            if number % 6 == 5:
                found = {
                    "state": "dominated", "figures": {"kl_divergence": kl},
                    "at_least": {"refusals": refusals // 2}, "estimate": {"refusals": refusals + 0.4},
                }  # fmt: skip
            for event in (
                ev.TrialStarted(number=number, parameters=fake_run.parameters(number)),
                ev.Progress(stage="refusals", done=50, total=100),
                ev.Measured(number=number, metric="kl_divergence", value=kl),
                ev.TrialFinished(number=number, prompts=100, seconds=9.0, **found),  # type: ignore[arg-type]
            ):
                seq = write(seq, event)
    return run


def log_lines(run: RunFolder) -> None:
    from heretic_tui.tui.log_lines import LogLines

    state = RunState()
    lines = LogLines(state)
    tail = Tail(run.events)
    while events := tail.take():
        for event in events:
            state.fold(event)
            lines.add(event)


def first_row_and_all(run: RunFolder, trials: int) -> tuple[float, float]:
    """Seconds until `follow` has a row in its table, and until it has all."""
    from heretic_tui.tui.app import HereticApp
    from heretic_tui.tui.widgets.line_table import LineTable

    async def watch() -> tuple[float, float]:
        start, first = time.perf_counter(), 0.0
        app = HereticApp(None, lambda settings: fake_run.FakeHost(), FollowHost(run))
        async with app.run_test(size=(120, 40)):
            while True:
                await asyncio.sleep(0.02)
                rows = len(app.query_one("#trial-table", LineTable).rows) if app.query("#trial-table") else 0
                first = first or (time.perf_counter() - start) * bool(rows)
                if rows == trials:
                    return first, time.perf_counter() - start

    return asyncio.run(watch())


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=1000, metavar="N")
    parser.add_argument("--no-screen", action="store_true")
    options = parser.parse_args()
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for trials in (options.trials, 10 * options.trials):
            run = write_run(Path(scratch) / f"long-{trials}", trials)
            found.setdefault("runs", []).append(seconds(lambda run=run: overview(run)))  # type: ignore[misc]
            found.setdefault("show", []).append(seconds(lambda run=run: details(run)))  # type: ignore[misc]
            found.setdefault("log", []).append(seconds(lambda run=run: log_lines(run)))  # type: ignore[misc]
            if not options.no_screen:
                first, whole = first_row_and_all(run, trials)
                found.setdefault("follow, first row", []).append(first)
                found.setdefault("follow, all rows", []).append(whole)
    print(f"{'':20}{options.trials:>9,}{10 * options.trials:>9,}   ratio")
    for name, (few, many) in found.items():
        print(f"{name:20}{few:8.2f}s{many:8.2f}s{many / few:8.1f}")


if __name__ == "__main__":
    main()

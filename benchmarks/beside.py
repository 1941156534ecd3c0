"""Seconds of a demo search and of the export of its first trial: alone, and beside a busy loop on each core.

Both are taken in turn, so that what else the machine does falls on both. The ratio is that of the medians.

python -m benchmarks.beside
python -m benchmarks.beside --tree OTHER_CHECKOUT --tree .     other versions of the program, in turn
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from heretic_tui.machine import processors

_LOOP = "while True: pass"
_COMMAND = (sys.executable, "-m", "heretic_tui")


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Within the block so many processes do nothing but compute."""
    others = [subprocess.Popen([sys.executable, "-c", _LOOP]) for _ in range(loops)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
        for other in others:
            other.wait()


def seconds_of(tree: Path, trials: int, limit: float) -> tuple[float, float, list[str]]:
    """Seconds of a search and of an export (as many as there was time for), and what was said of threads meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        runs, environment = Path(name) / "runs", {**os.environ, "PYTHONPATH": str(tree.absolute())}
        taken, said = [0.0, 0.0], list[str]()
        search = ("demo", "--lines", "--seed", "0", "--n-trials", str(trials), "--runs-dir", str(runs))
        for part in range(2):
            found = [path.name for path in runs.iterdir()] if part else []
            export = ("export", *found, "--trial", "0", "--runs-dir", str(runs), str(Path(name) / "out"))
            start, left = time.perf_counter(), limit - sum(taken)
            try:
                done = subprocess.run(
                    [*_COMMAND, *(export if part else search)],
                    env=environment,
                    cwd=tree,
                    capture_output=True,
                    text=True,
                    timeout=left,
                )
            except subprocess.TimeoutExpired:
                taken[part] = left
                return taken[0], taken[1], [*said, f"stopped after {limit:.0f} s"]
            taken[part] = time.perf_counter() - start
            if done.returncode:
                raise SystemExit(f"{tree}: {done.stderr[-2000:]}")
            said += [line.strip() for line in (done.stdout + done.stderr).splitlines() if "processors" in line]
    return taken[0], taken[1], said


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", action="append", type=Path, help="a checkout of the program [this one]")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds after which a measurement ends [120]")
    parser.add_argument("--only", choices=("alone", "beside"))
    options = parser.parse_args(arguments)
    cores = processors()
    trees: list[Path] = options.tree or [Path(__file__).parents[1]]
    ways = [options.only] if options.only else ["alone", "beside"]
    sums: dict[tuple[Path, str], list[float]] = {}
    for turn in range(options.repeat):
        for tree in trees:
            for way in ways:
                with busy(cores if way == "beside" else 0):
                    search, export, said = seconds_of(tree, options.trials, options.limit)
                sums.setdefault((tree, way), []).append(search + export)
                print(f"{tree} {way} {turn + 1}: search {search:.1f} s, export {export:.1f} s", *said, sep="\n    ")
                sys.stdout.flush()
    print()
    for tree in trees:
        medians = {way: statistics.median(sums[tree, way]) for way in ways}
        print(f"{tree}: " + ", ".join(f"{way} {seconds:.1f} s" for way, seconds in medians.items()))
        if not options.only:
            print(f"    {medians['beside'] / medians['alone']:.2f} times as long beside {cores} busy loops")


if __name__ == "__main__":
    main()

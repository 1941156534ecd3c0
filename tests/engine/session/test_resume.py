"""Whatever stops a run, the next one goes on as if nothing had happened."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from heretic_tui.run.journal import read_journal
from tests.support.processes import Begun

TRIALS = 80
KILLS = 20
# A kill falls up to so many seconds behind an event, so that it meets work of every kind.
BEHIND = 0.05


def demo(runs_dir: Path) -> Begun:
    return Begun(
        "demo", "--seed", "3", "--n-trials", str(TRIALS), "--runs-dir", str(runs_dir),
        # Half of them: as many events in half of the time.
        "--good-evaluation-prompts.split", "[:50]", "--bad-evaluation-prompts.split", "[:50]",
        # A batch size found by measuring may differ from run to run, and with it the last digits. Of more trials in
        # hand one could be given up, that was in hand at five kills in a row.
        "--batch-size", "100", "--trials-at-once", "2", "--json",
    )  # fmt: skip


def finished(runs_dir: Path) -> list[tuple[Any, ...]]:
    """Every trial in the order of the numbers: number, parameters, and what was told each time that it ended, in order;
    so a trial that was looked at, and decoded later, has both."""
    (path,) = runs_dir.glob("*/events.jsonl")
    asked: dict[Any, object] = {}
    ends: dict[Any, list[object]] = {}
    for record in read_journal(path):
        if record["type"] == "trial_started":
            asked[record["number"]] = record["parameters"]
        elif record["type"] == "trial_finished" and record["state"] in ("complete", "dominated", "screened"):
            told = [record[name] for name in ("state", "figures", "at_least", "estimate", "error", "looked_at")]
            ends.setdefault(record["number"], []).append(told)
    return [(number, asked[number], *each) for number, each in sorted(ends.items())]


def read_to_moment(process: Begun, trials: int, steps: int, lines: int) -> None:
    """Read until so many trials have finished, then so many steps more were told of, then so many lines of any kind."""
    for line in process.stdout:
        kind = json.loads(line)["type"]
        if trials:
            trials -= kind == "trial_finished"
        elif steps:
            steps -= kind not in ("progress", "memory")
        elif lines:
            lines -= 1
        else:
            return


def test_killed_at_twenty_random_moments_a_run_has_the_same_trials(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = demo(whole)
    first.rest()
    assert first.status == 0
    moments = random.Random(11)
    for kill in range(KILLS):
        process = demo(killed)
        # Moments are counted in what the run did, not in seconds: a fast machine must not finish before the last kill,
        # and on a slow one no trial may die so often that it is given up. So every third process finishes a trial.
        if kill % 3 == 2:
            read_to_moment(process, 1, moments.randrange(5), moments.randrange(12))
        else:
            # A resumed run tells of about twelve steps before its next trial, and of four in each.
            read_to_moment(process, 0, moments.randrange(1, 26), moments.randrange(12))
        process.kill_after(moments.uniform(0.0, BEHIND))
        assert process.status is not None
        assert process.status < 0, "the run must be long enough to be killed every time"
    last = demo(killed)
    out = last.rest()
    assert last.status == 0

    expected = finished(whole)
    assert [number for number, *_ in expected] == list(range(TRIALS))
    assert finished(killed) == expected
    # Nothing is computed again that the folder holds: the last session found everything there.
    phases = [event for event in map(json.loads, out.splitlines()) if event["type"] == "phase_finished"]
    assert {event["phase"] for event in phases if event["reused"]} == {"baseline", "residuals"}
    assert not {event["phase"] for event in phases} & {"batch size", "response prefix"}

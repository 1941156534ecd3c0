"""Whatever stops a run, the next one goes on as if nothing had happened."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from heretic_tui.runtime.journal import read_journal

TRIALS = 80
KILLS = 20


def demo(runs_dir: Path) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "heretic_tui", "demo", "--seed", "3", "--n-trials", str(TRIALS), "--runs-dir", runs_dir,
        # A batch size found by measuring may differ from run to run, and with it the last digits.
        "--batch-size", "100", "--json",
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(runs_dir: Path) -> list[tuple[Any, ...]]:
    """Every finished trial in the order of the journal: number, parameters, values."""
    (path,) = runs_dir.glob("*/events.jsonl")
    asked, found = {}, []
    for record in read_journal(path):
        if record["type"] == "trial_started":
            asked[record["number"]] = record["parameters"]
        elif record["type"] == "trial_finished" and record["state"] == "complete":
            number = record["number"]
            found.append((number, asked[number], record["kl_divergence"], record["refusals"]))
    return found


def test_killed_at_twenty_random_moments_a_run_has_the_same_trials(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = demo(whole)
    first.communicate()
    assert first.returncode == 0
    moments = random.Random(11)
    kills = 0
    for _ in range(KILLS):
        process = demo(killed)
        assert process.stdout is not None
        # From the first event on (before it the libraries are loaded and nothing is at stake) up to a few trials.
        process.stdout.readline()
        try:
            process.communicate(timeout=moments.uniform(0.0, 2.5))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
    assert kills == KILLS, "the run must be long enough to be killed every time"
    last = demo(killed)
    out, err = last.communicate()
    assert last.returncode == 0, err

    expected = finished(whole)
    assert [number for number, *_ in expected] == list(range(TRIALS))
    assert finished(killed) == expected
    # Nothing is computed again that the folder holds: the last session found everything there.
    phases = [event for event in map(json.loads, out.splitlines()) if event["type"] == "phase_finished"]
    assert {event["phase"] for event in phases if event["reused"]} == {"baseline", "residuals"}
    assert not {event["phase"] for event in phases} & {"batch size", "response prefix"}

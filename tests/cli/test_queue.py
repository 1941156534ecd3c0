"""The queue on the command line: what may be added, and how it is worked off without a screen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from heretic_tui.run.folder import find_runs
from heretic_tui.run.journal import read_events
from heretic_tui.run.queue import QueueFile
from heretic_tui.run.state import RunState
from tests.support.commands import Ended

Heretic = Callable[..., Ended]


def test_what_is_added_is_checked_as_for_a_run_and_kept_without_passwords(
    heretic: Heretic, tiny_folder: Path, sets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong, said in (
        ([], "no model given"),
        (["/no/such/folder"], "no such model folder: /no/such/folder"),
        ([tiny_folder, "--n-trials", "many"], "n_trials"),
        ([tiny_folder, "--bad-prompts", "missing.txt"], "bad_prompts: missing.txt: no such file or folder"),
        ([tiny_folder, "and-another"], "does not take 'and-another'"),
    ):
        done = heretic("queue", "add", *wrong)
        assert (done.status, done.err.count("\n")) == (2, 1)
        assert said in done.err
    monkeypatch.chdir(tiny_folder.parent)
    # Flags may stand before the model.
    done = heretic("queue", "add", "--storage", "mysql://me:hunter2@host/x", tiny_folder.name, *sets, "--n-trials", "2")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"queued as #1: {tiny_folder}")
    assert "hunter2" not in (tmp_path / "runs" / "queue.json").read_text()
    listed = heretic("queue", "--json")
    (entry,) = json.loads(listed.out)["entries"]
    assert (entry["settings"]["model"], entry["settings"]["n_trials"]) == (str(tiny_folder), 2)


def test_the_queue_is_listed_and_put_in_another_order(heretic: Heretic, tmp_path: Path) -> None:
    assert "no runs in the queue" in heretic("queue").out
    for model in ("acme/a", "acme/b"):
        heretic("queue", "add", model)
    out = heretic("queue", "move", "2", "1").out.splitlines()
    assert [line.split()[1] for line in out[1:3]] == ["acme/b", "acme/a"]
    QueueFile(tmp_path / "runs").fail(2, "no memory")
    assert "failed: no memory" in heretic("queue").out
    assert "failed" not in heretic("queue", "retry", "1").out
    assert "no run starts where less than 5 GB are free" in heretic("queue", "limits", "--keep-free", "5").out
    assert heretic("queue", "remove", "all").out == "removed: acme/b\nremoved: acme/a\n"
    for wrong in (["run", "--n-trials", "3"], ["remove"], ["remove", "1"], ["move", "1"], ["lst"], ["list", "x"]):
        done = heretic("queue", *wrong)
        assert (done.status, done.err.count("\n")) == (2, 1)


def test_one_after_another_is_run_and_one_that_fails_costs_none_of_the_others(
    heretic: Heretic, tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    runs_dir = tmp_path / "runs"
    bad = tmp_path / "empty"
    bad.mkdir()
    heretic("queue", "add", bad, *sets)
    heretic("queue", "add", tiny_folder, *sets, "--n-trials", "2", "--seed", "4")
    # That it goes on from another folder, and that a second one is refused meanwhile.
    done = heretic("queue", "run", "--until", "2999-01-01")
    assert done.status == 1, done.err
    assert "holds no model" in done.err
    assert f"{'queue':11}1 run done, 1 failed; no run of the queue is left that could start\n" in done.out
    (folder,) = find_runs(runs_dir)
    state = RunState.replay(read_events(folder.events))
    assert (state.outcome, state.finished) == ("done", 2)
    (failed,) = QueueFile(runs_dir).read().entries
    assert failed.problem is not None
    assert "holds no model" in failed.problem
    # Nothing is left that could start: that takes no time, and is no failure.
    assert heretic("queue", "run").status == 0


def test_ctrl_c_stops_the_run_and_the_queue_and_it_goes_on_from_there(
    heretic: Heretic, tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    runs_dir = tmp_path / "runs"
    heretic("queue", "add", tiny_folder, *sets, "--n-trials", "100000", "--seed", "4")
    heretic("queue", "add", "acme/later")
    command = [sys.executable, "-m", "heretic_tui", "queue", "run", "--runs-dir", str(runs_dir)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("trial"):
            break
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(timeout=120) == 130
    assert "stopped; `heretic-tui queue run` goes on from here" in rest
    queue = QueueFile(runs_dir).read()
    assert [entry.model for entry in queue.waiting] == [str(tiny_folder), "acme/later"]
    assert queue.waiting[0].begun is not None
    assert QueueFile(runs_dir).worker() is None
    (folder,) = find_runs(runs_dir)
    assert folder.holder() is None
    assert RunState.replay(read_events(folder.events)).outcome == "interrupted"


def test_a_process_that_is_killed_fails_its_entry_alone(
    heretic: Heretic, tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    runs_dir = tmp_path / "runs"
    heretic("queue", "add", tiny_folder, *sets, "--n-trials", "100000", "--seed", "4")
    command = [sys.executable, "-m", "heretic_tui", "queue", "run", "--runs-dir", str(runs_dir)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("trial"):
            break
    (folder,) = find_runs(runs_dir)
    holder = folder.holder()
    assert holder is not None
    assert holder != process.pid
    os.kill(holder, signal.SIGKILL)
    process.stdout.read()
    assert process.wait(timeout=120) == 1
    (entry,) = QueueFile(runs_dir).read().entries
    assert entry.problem == "its process ended with SIGKILL: the memory ran out, most likely"

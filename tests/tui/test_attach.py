"""Runs that are controlled from other terminals, in real pseudo-terminals and processes."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from heretic_tui.run.folder import RunFolder, find_runs
from tests.support.terminals import PATIENCE, demo, drawn, state_in, terminal


def until(wanted: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not wanted():
        assert time.monotonic() < end, "it did not come to that"
        select.select([], [], [], 0.1)


def detached(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "heretic_tui", *map(str, arguments), "--detach"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)


def run_of(runs_dir: Path) -> RunFolder:
    (run,) = find_runs(runs_dir)
    return run


def test_a_run_without_a_terminal_is_controlled_from_one_after_the_other(tmp_path: Path) -> None:
    started = detached(*demo(tmp_path, 5000))
    assert started.returncode == 0, started.stderr
    run = run_of(tmp_path)
    pid = run.holder()
    assert pid
    assert f"{run.name} runs without this terminal (process {pid})" in started.stdout
    (attach,) = re.findall(r"heretic-tui (attach \S+)", started.stdout)
    try:
        assert os.getsid(pid) == pid, "it is in a session of its own"
        size = (120, 30)
        with terminal(*attach.split(), size=size) as first, terminal(*attach.split(), size=size) as second:
            first.read_until(r"This terminal controls the run|Take over")
            second.read_until(r"This terminal controls the run|Take over")
            # Either may have been the first.
            if "Take over" in drawn(first.output):
                first, second = second, first
            second.press("y")
            second.read_until("This terminal controls the run")
            first.read_until("this screen only watches")
            second.read_until(r"[1-9]\d* of 5000 done")
            second.press("p")
            second.read_until("paused")
            first.read_until("paused")
            second.press("4")
            second.read_until("Chat")
            second.press("ihello\r")
            second.read_until(r"\d+ tok")
            os.kill(second.process.pid, signal.SIGKILL)
            first.read_until("no longer controls the run")
            first.press("T")
            first.read_until("This terminal controls the run")
            first.press("p")
            first.read_until("running")
            first.press("q")
            first.read_until("leave it running")
            first.press("t")
            # The trial in hand may be done before the screen is left.
            first.read_until(f"{run.name} (stops after the trial|has stopped)")
            assert first.wait() == 0
        until(lambda: run.holder() is None)
    finally:
        if run.holder():
            os.kill(pid, signal.SIGKILL)
    assert state_in(tmp_path).outcome == "interrupted"
    assert not run.socket.exists()
    lines = run.lines.read_text(encoding="utf-8")
    assert lines.count("controls the run now") == 3
    assert "hello" not in lines


def test_a_run_goes_from_its_command_to_its_end_without_a_terminal(
    tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    started = detached("run", tiny_folder, *sets, "--runs-dir", tmp_path, "--n-trials", 2, "--json")
    assert started.returncode == 0, started.stderr
    run = run_of(tmp_path)
    told = json.loads(started.stdout)
    assert (told["run"], told["folder"]) == (run.name, str(run.path))
    assert run.holder() in (told["pid"], None)
    until(lambda: run.holder() is None)
    assert state_in(tmp_path).outcome == "done"
    lines = [json.loads(line) for line in run.lines.read_text(encoding="utf-8").splitlines()]
    assert lines[-1]["type"] == "run_ended"


def test_what_keeps_a_run_from_beginning_is_told_where_it_was_typed(tmp_path: Path) -> None:
    for wrong, said in (
        (["--n-trials", "none"], "n_trials"),
        (["--bad-prompts", tmp_path / "nowhere.txt"], "nowhere.txt"),
    ):
        refused = detached("demo", "--runs-dir", tmp_path / "runs", *wrong)
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 1
        assert refused.stderr.startswith("heretic-tui: ")
        assert said in refused.stderr
    assert not find_runs(tmp_path / "runs")


def test_a_screen_is_taken_over_hangs_up_and_its_engine_dies(tmp_path: Path) -> None:
    with terminal(*demo(tmp_path, 5000), size=(120, 30)) as own:
        own.read_until(r"[1-9]\d* of 5000 done")
        with terminal("attach", "--runs-dir", tmp_path, size=(120, 30)) as other:
            other.read_until("Take over")
            other.press("y")
            other.read_until("This terminal controls the run")
            own.read_until("this screen only watches")
            own.press("T")
            own.read_until("Take over")
            own.press("y")
            other.read_until("this screen only watches")
            # The screen is left by its link: control is free, and can be had.
            own.hang_up()
            other.read_until("no longer controls the run")
            other.press("T")
            other.read_until("This terminal controls the run")
            other.press("p")
            other.read_until("paused")
            os.kill(own.process.pid, signal.SIGKILL)
            own.process.wait()
            other.read_until("closed the connection")
            other.read_until("stopped")
            # The screen works on.
            other.press("2")
            other.read_until("Layers")
            other.press("q")
            assert other.wait() == 0
    run = run_of(tmp_path)
    assert run.socket.is_socket(), "what a killed process leaves"
    with terminal("attach", run.path) as late:
        assert late.wait() == 2
        assert "is not running" in drawn(late.output)


def test_attaching_needs_a_terminal_and_a_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "heretic_tui", "attach", "--runs-dir", str(tmp_path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    with terminal(*command[3:]) as screen:
        assert screen.wait() == 2
        assert "is running" in drawn(screen.output)

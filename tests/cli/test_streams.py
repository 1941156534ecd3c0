"""What commands do when nobody reads, when nothing can be written, when they fall, and when they are told to end."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from heretic_tui.engine.session.scratch import scratch_folder
from heretic_tui.run.folder import find_runs
from heretic_tui.terminal import Output
from tests.support.commands import Ended

Heretic = Callable[..., Ended]


@contextmanager
def output_to(descriptor: int) -> Iterator[None]:
    """Descriptor 1 of this process leads elsewhere."""
    before = os.dup(1)
    os.dup2(descriptor, 1)
    try:
        yield
    finally:
        os.dup2(before, 1)
        os.close(before)


def run(heretic: Heretic, descriptor: int, *arguments: object) -> tuple[int, str]:
    """The status of a command whose output leads to a descriptor, and what it wrote to standard error."""
    with output_to(descriptor):
        done = heretic(*arguments)
    return done.status, done.err


@pytest.fixture
def nobody() -> Iterator[int]:
    """A pipe whose reader has gone."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


@pytest.fixture
def full() -> Iterator[int]:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


def outcome(runs_dir: Path) -> str:
    (folder,) = find_runs(runs_dir)
    return str(json.loads(folder.events.read_text(encoding="utf-8").splitlines()[-1])["outcome"])


def test_a_run_goes_on_without_a_reader(
    heretic: Heretic, nobody: int, full: int, tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    command = ["run", tiny_folder, *sets, "--n-trials", "1"]
    assert run(heretic, nobody, *command) == (0, "")
    assert outcome(tmp_path / "runs") == "done"
    status, err = run(heretic, full, *command, "--n-trials", "2", "--json")
    assert status == 1, "what was asked for was not printed"
    assert err.count("\n") == 1
    assert "standard output cannot be written to (No space left on device)" in err
    assert outcome(tmp_path / "runs") == "done"


def test_a_failed_run_is_one_line_and_never_status_0(
    heretic: Heretic, nobody: int, tiny_folder: Path, sets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall(*arguments: Any, **options: Any) -> None:
        raise KeyError("llama4x")

    monkeypatch.setattr("heretic_tui.engine.session.phases.load.load_model", fall)
    status, err = run(heretic, nobody, "run", tiny_folder, *sets)
    assert status == 1
    assert err.startswith("heretic-tui: while loading the model: KeyError: 'llama4x' (in ")
    assert err.count("\n") == 1
    log = Path(err.strip().removesuffix(")").rpartition("details: ")[2])
    assert log.name == "engine.log"
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_tasks_and_short_commands_fall_in_one_line_too(
    heretic: Heretic, tiny_folder: Path, sets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall(*arguments: Any, **options: Any) -> None:
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr("heretic_tui.engine.session.score.check_inputs", fall)
    monkeypatch.setattr("heretic_tui.run.folder.find_runs", fall)
    folder = Path(os.environ["XDG_STATE_HOME"]) / "heretic-tui" / "errors"
    for command in (["score", tiny_folder, *sets], ["runs"], ["show", "x", "--json"]):
        done = heretic(*command)
        assert done.status == 1
        assert done.out == ""
        assert done.err.count("\n") == 1
        assert "nested too deeply" in done.err
        log = Path(done.err.strip().removesuffix(")").rpartition("details: ")[2])
        assert log.parent == folder
        assert "RecursionError" in log.read_text(encoding="utf-8")
    before = set(folder.iterdir())
    assert heretic("inspect", tiny_folder, runs_dir=None).status == 0
    assert set(folder.iterdir()) == before, "a log that tells nothing is not kept"


@pytest.mark.parametrize(
    ("command", "streams", "status", "said"),
    [
        ("runs", "| true", 0, ""),
        ("runs", ">/dev/full", 1, "standard output cannot be written to"),
        ("runs", ">&-", 2, "standard output is closed: there is nowhere to print to"),
        ("runs", "<&-", 0, ""),
        ("runs", "2>&-", 0, ""),
        ("--help", ">/dev/full", 1, "standard output cannot be written to"),
        ("show nothing", ">&- <&-", 2, "standard output is closed"),
        ("run", ">&-", 2, "no model given"),
        ("open", ">&- <&-", 2, "stdin and stdout lead elsewhere"),
        ("rnu", "2>/dev/full", 2, ""),
    ],
)  # fmt: skip
def test_short_commands_with_such_streams(tmp_path: Path, command: str, streams: str, status: int, said: str) -> None:
    where = f"--runs-dir {tmp_path}" if command not in ("--help", "rnu") else ""
    line = f"{sys.executable} -m heretic_tui {command} {where} {streams}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == bool(said) + (command == "run"), done.stderr


def test_what_a_stream_lets_through(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        out = Output(file.fileno())
        out.write("a\x1b[2J\x9b1m\x07\x7f\r\u202e\udc80\u200bé◆\n")
    assert (tmp_path / "out").read_text() == "a\\x1b[2J\\x9b1m\\x07\\x7f\\r\\u202e\\udc80\\u200bé◆\n"


ENDLESS = """
import sys, threading, time
from heretic_tui.control import Control
from heretic_tui.signals import interrupts
from heretic_tui.terminal import Streams
control = Control()
with interrupts(control, Streams().err):
    print("ready", flush=True)
    {work}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a lock of Linux' C library, zeros at its beginning")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_third_signal_ends_the_process_whatever_it_does(number: int) -> None:
    # Python's handlers are never called: the main thread waits in a library, for itself.
    work = "import ctypes; libc, lock = ctypes.CDLL(None), ctypes.create_string_buffer(64)\n"
    work += "    libc.pthread_mutex_lock(lock); libc.pthread_mutex_lock(lock)"
    process = subprocess.Popen([sys.executable, "-c", ENDLESS.format(work=work)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    sent, end = 0, time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        process.send_signal(number)
        sent += 1
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    assert process.wait(1) == 130
    assert sent >= 3


def test_ctrl_c_before_anything_is_at_work_is_a_line(tmp_path: Path) -> None:
    code = (
        "import os, signal; from heretic_tui.signals import leaving_at_once; "
        "from heretic_tui.terminal import Streams, output_to_log; streams = Streams()\n"
        "with leaving_at_once(streams), output_to_log(streams):\n"
        "    try: os.kill(os.getpid(), signal.SIGINT)\n"
        "    except BaseException: pass  # as some libraries do while they are imported\n"
        "    while True: pass\n"
    )
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "heretic-tui: interrupted\n")
    assert list(tmp_path.rglob("*.log")) == []


def test_scratch_folders_of_killed_processes_are_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = (
        "import os, signal; from heretic_tui.engine.session.scratch import scratch_folder\n"
        "with scratch_folder(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    (left,) = tmp_path.iterdir()
    stranger = tmp_path / "heretic-tui-scratch-is-a-file"
    stranger.write_text("")
    with scratch_folder() as held:
        assert left.exists(), "perhaps it is just being made"
        for path in (left, held.path, stranger):
            os.utime(path, (0, 0))
        with scratch_folder() as other:
            assert set(tmp_path.iterdir()) == {held.path, other.path, stranger}
    assert list(tmp_path.iterdir()) == [stranger]


def test_long_lines_hang_on_a_narrow_terminal_and_stay_whole_elsewhere(tmp_path: Path) -> None:
    line = "note  Hub    is not reached: look at network and proxy"
    master, slave = os.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 34, 0, 0))
        Output(slave).write_hanging(13, line, "")
        assert os.read(master, 1000).decode().split("\r\n") == [
            "note  Hub    is not reached: look",
            "             at network and proxy",
            "",
            "",
        ]
    finally:
        os.close(slave)
        os.close(master)
    with (tmp_path / "lines").open("wb") as file:
        Output(file.fileno()).write_hanging(13, line)
    assert (tmp_path / "lines").read_text() == f"{line}\n"

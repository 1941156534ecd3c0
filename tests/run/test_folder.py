"""The run folder: who writes to it can be asked without getting in anybody's way, its rights stay, damage is told."""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heretic_tui.errors import UsageError
from heretic_tui.files import default_runs_dir
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Journal
from heretic_tui.run.record import RunRecord
from tests.support import fake_run
from tests.support.commands import Ended, mounted

Heretic = Callable[..., Ended]


def folder_in(path: Path, identity: dict[str, object] | None = None) -> RunFolder:
    run = RunFolder(path)
    run.create()
    run.save_record(RunRecord(model="acme/model", identity=identity))
    return run


def test_looking_at_who_holds_a_run_never_takes_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = folder_in(tmp_path / "run")
    assert run.holder() is None
    run.lock()
    # Whoever looks, from this process or another, sees the holder, and it stays the holder.
    assert run.holder() == os.getpid()
    code = f"from heretic_tui.run.folder import *; print(RunFolder(Path({str(run.path)!r})).holder())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == str(os.getpid())
    with pytest.raises(UsageError, match=f"is already running .process {os.getpid()}"):
        RunFolder(run.path).lock()
    assert run.holder() == os.getpid()
    run.unlock()

    def taken(*_: object) -> None:
        raise AssertionError("a lock was taken")

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", taken)
        assert run.holder() is None


def test_what_a_run_is_called_finds_it_in_any_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heretic: Heretic
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    elsewhere = folder_in(tmp_path / "my runs" / "one")
    default = folder_in(default_runs_dir() / "two")
    assert default.called == "two"
    for run in (elsewhere, default):
        run.lock()
        with pytest.raises(UsageError, match="is already running") as caught:
            RunFolder(run.path).lock()
        run.unlock()
        # As a shell reads what is to be typed.
        _, _, typed = str(caught.value).partition("heretic-tui attach ")
        name = shlex.split(typed)[0].removesuffix(".")
        done = heretic("note", name, "7", runs_dir=None)
        assert done.status == 2
        assert f"there is no trial 7 in {run.name}" in done.err


def test_locks_of_older_versions_are_seen_and_respected_and_their_looks_waited_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = folder_in(tmp_path / "run")
    # Theirs is a flock on the same file, and the pid in it.
    theirs = os.open(run.path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(theirs, fcntl.LOCK_EX)
    os.pwrite(theirs, f"{os.getpid()}\n".encode(), 0)
    assert run.holder() == os.getpid()
    with pytest.raises(UsageError, match=f"is already running .process {os.getpid()}"):
        run.lock()
    fcntl.flock(theirs, fcntl.LOCK_UN)
    assert run.holder() is None
    # They look by taking it, shared and for a moment.
    fcntl.flock(theirs, fcntl.LOCK_SH)
    assert run.holder() is None
    monkeypatch.setattr("heretic_tui.run.lock.time.sleep", lambda seconds: fcntl.flock(theirs, fcntl.LOCK_UN))
    run.lock()
    with pytest.raises(BlockingIOError):
        fcntl.flock(theirs, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.close(theirs)
    run.unlock()


def test_a_system_without_file_locks_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heretic: Heretic
) -> None:
    code = "import sys; sys.modules['fcntl'] = None; import heretic_tui.cli.main, heretic_tui.tui.host"
    subprocess.run([sys.executable, "-c", code], check=True)
    run = folder_in(tmp_path / "runs" / "run")
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(UsageError, match=r"no file locks .* use Linux or macOS"):
        run.lock()
    assert "stopped" in heretic("runs").out


def test_a_folder_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    run = folder_in(tmp_path / "run")
    assert run.path.stat().st_mode & 0o777 == 0o700
    for mode in (0o750, 0o500):
        run.path.chmod(mode)
        run.create()
        assert run.path.stat().st_mode & 0o777 == mode
    run.path.chmod(0o700)


def test_a_read_only_folder_is_told_before_anything_is_done(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m") as disk:
        run = folder_in(disk / "run")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(UsageError, match=r"cannot write to the run folder .*/run: it is read only"):
            run.create()
        assert run.holder() is None


def test_runs_lists_the_others_beside_damaged_ones(heretic: Heretic, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("broken", "fifo", "whole"):
        run = folder_in(runs / name)
        journal = Journal(run.events)
        for event in [fake_run.opened(), *fake_run.trial(0)]:
            journal.append(event)
        journal.close()
    with (runs / "broken" / "events.jsonl").open("a") as file:
        file.write("{\n{}\n")
    (runs / "fifo" / "run.json").unlink()
    os.mkfifo(runs / "fifo" / "run.json")
    done = heretic("runs")
    assert done.status == 0
    _, broken, fifo, whole = done.out.splitlines()
    assert "damaged: " in broken
    assert "is damaged at line 5" in broken
    assert "run.json is no regular file" in fifo
    assert "1/60" in whole
    listed = heretic("runs", "--json").out
    assert listed.count('"state": "damaged"') == 2
    assert '"problem"' in listed


def test_folders_that_may_not_be_looked_into_are_listed_as_such(
    heretic: Heretic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    for name in ("closed", "whole"):
        folder_in(runs / name)
    (runs / "no run").mkdir()
    # Rights bind nobody who is root, as tests may be.
    stat = os.stat

    def denied(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if "closed/" in os.fspath(path):
            raise PermissionError(13, "Permission denied", path)
        return stat(path, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", denied)
        done = heretic("runs")
        assert (done.status, len(done.out.splitlines())) == (0, 3)
        assert "closed  damaged: cannot read" in done.out
        assert heretic("show", "closed").status == 2
        assert "whole" in done.out

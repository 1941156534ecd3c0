"""Where the socket is, who may use it, and what is said where there is none."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from heretic_tui.control import Control
from heretic_tui.errors import UsageError
from heretic_tui.run.attach import place
from heretic_tui.run.attach.client import Attachment
from heretic_tui.run.attach.server import AttachServer, attachable
from heretic_tui.run.folder import RunFolder
from tests.support.attached import Screen, ServedRun, served

NOBODY = 65534


def test_only_the_owner_may_read_the_folder_and_use_the_socket(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        assert stat.S_IMODE(run.folder.path.stat().st_mode) == 0o700
        assert stat.S_IMODE(run.folder.socket.stat().st_mode) == 0o600
    assert not run.folder.socket.exists()


def test_a_folder_deeper_than_an_address_can_name_can_be_attached_to(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(6):
        deep = deep / ("folder-" * 7)
    deep.mkdir(parents=True)
    with served(deep / "run") as run:
        assert len(str(run.folder.socket)) > 300
        screen = Screen(run.folder)
        screen.take_control()
        assert screen.news == ["gained"]


def test_a_socket_that_a_crash_left_is_told_and_replaced(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(folder.socket))
    left.close()
    with pytest.raises(UsageError, match=r"is not running.*heretic-tui follow /.*run$"):
        Attachment(folder)
    # Another process holds the run, and its socket does not answer.
    folder.lock()
    with pytest.raises(UsageError, match=rf"is running \(process {os.getpid()}\).*heretic-tui follow /.*run$"):
        Attachment(folder)
    folder.unlock()
    with served(tmp_path / "run") as run:
        screen = Screen(run.folder)
        screen.take_control()
        assert screen.news == ["gained"]


def test_a_run_whose_folder_holds_no_socket_goes_on_and_says_so(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.lock()
    # What cannot be replaced stands in its place.
    folder.socket.write_text("a note of mine")
    said: list[str] = []
    server = AttachServer(folder, Control(), lambda: 0)
    with attachable(server, said.append), pytest.raises(UsageError, match="cannot be attached to"):
        Attachment(folder)
    assert len(said) == 1
    assert "only watch" in said[0]
    assert folder.socket.read_text() == "a note of mine"
    folder.socket.unlink()
    with pytest.raises(UsageError, match="has no socket"):
        Attachment(folder)
    folder.unlock()


def test_connections_of_another_user_are_ended_with_the_reason(tmp_path: Path) -> None:
    with served(tmp_path / "run", uid=os.geteuid() + 1) as run:
        screen = Screen(run.folder)
        screen.attachment.take_control(over=True)
        screen.until(lambda: screen.news)
        assert screen.news == ["ended"]
        assert "another user's" in screen.texts[0]
        assert not run.control.attended


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user reaches."""
    path = Path(tempfile.mkdtemp(prefix="heretic-attach-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


_OTHER_USER = """
import os, socket, sys
os.setgid({nobody}); os.setuid({nobody})
made = socket.socket(socket.AF_UNIX)
made.settimeout(30)
try:
    made.connect(sys.argv[1])
except PermissionError:
    print("not let in"); sys.exit()
said = b""
try:
    made.sendall(b'{{"say": "Hello", "protocol": 1, "version": "1", "terminal": "x"}}\\n'
                 b'{{"say": "TakeControl", "number": 1, "over": true}}\\n'
                 b'{{"say": "Ask", "number": 2, "what": "abort"}}\\n')
except BrokenPipeError:
    pass
try:
    while piece := made.recv(4096):
        said += piece
except ConnectionResetError:
    pass
print(said.decode())
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to become another user")
def test_a_second_user_is_kept_out_by_rights_and_by_the_kernels_word(open_folder: Path) -> None:
    def ask(path: Path) -> str:
        code = _OTHER_USER.format(nobody=NOBODY)
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    with served(open_folder / "run") as run:
        assert ask(run.folder.socket) == "not let in"
        # As if the rights had been given away.
        run.folder.path.chmod(0o755)
        assert ask(run.folder.socket) == "not let in"
        run.folder.socket.chmod(0o666)
        assert "another user's" in ask(run.folder.socket)
        assert not run.control.attended
        assert not run.control.aborting


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to become another user")
def test_a_socket_that_another_user_put_there_is_not_used(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.lock()
    made = place.listen(folder.socket)
    # Whoever listens is who made it listen: here a process of another user's.
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(NOBODY)
        made.listen(1)
        os.write(told, b"r")
        made.setblocking(True)
        made.accept()
        os._exit(0)
    os.read(ready, 1)
    with pytest.raises(UsageError, match=f"another user's.*{NOBODY}"):
        Attachment(folder)
    os.waitpid(child, 0)
    made.close()
    folder.unlock()


def test_the_socket_is_gone_before_the_lock_is(tmp_path: Path) -> None:
    first = ServedRun(tmp_path / "run")
    first.server.start()
    first.server.close()
    assert first.folder.holder() == os.getpid()
    assert not first.folder.socket.exists()
    first.journal.close()
    first.folder.unlock()

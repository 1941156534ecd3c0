"""Command lines in processes of their own that begin with everything imported: what a test starts many times, and
kills, need not import torch and transformers each time."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import IO

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["heretic_tui.cli.main", "heretic_tui.engine.session.session"])


class Begun:
    """`heretic-tui` with arguments, forked from a process that has imported it. Its errors go nowhere.

    Attributes:
        stdout: what it prints.
    """

    def __init__(self, *arguments: str) -> None:
        reader, writer = _SERVER.Pipe(duplex=False)
        self._process: BaseProcess = _SERVER.Process(target=_run, args=(writer, arguments))
        self._process.start()
        # With its other end in one process alone, what is read ends when that process does.
        writer.close()
        self._reader = reader
        self.stdout: IO[str] = open(os.dup(reader.fileno()), encoding="utf-8")  # noqa: SIM115 - read by the test

    @property
    def status(self) -> int | None:
        """As of `subprocess.Popen`: None while it runs, below 0 where a signal ended it."""
        return self._process.exitcode

    def kill_after(self, seconds: float) -> None:
        """SIGKILL, unless it ends by itself before that."""
        self._process.join(seconds)
        self._process.kill()
        self.rest()

    def rest(self) -> str:
        """What it prints until it ends."""
        with self.stdout:
            text = self.stdout.read()
        self._reader.close()
        self._process.join()
        return text


def _run(writer: Connection, arguments: tuple[str, ...]) -> None:
    os.dup2(writer.fileno(), 1)
    writer.close()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - that of the whole process
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = ["heretic-tui", *arguments]
    from heretic_tui.__main__ import main

    main()

"""Keeps what libraries print off the terminal: it goes to the engine's log."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from heretic_tui.errors import UsageError


class Apart:
    """The real standard output and error, while descriptors 1 and 2 lead to a log."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self.out = out
        self.err = err
        self._moved = False

    def move_log(self, path: Path) -> None:
        """Let the log go on in `path`; the first time with what was logged so far before it.

        Raises:
            UsageError: when the file cannot be written to.
        """
        try:
            # A FIFO in its place would be waited for.
            target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error
        sys.stdout.flush()
        sys.stderr.flush()
        if not self._moved:
            os.write(target, os.pread(2, os.fstat(2).st_size, 0))
        self._moved = True
        os.dup2(target, 1)
        os.dup2(target, 2)
        os.close(target)


@contextlib.contextmanager
def output_apart() -> Iterator[Apart]:
    """Within the block whatever Python or native code prints goes to a log: a temporary one, until it is moved."""
    sys.stdout.flush()
    sys.stderr.flush()
    real = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    faulthandler.enable()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    out, err = (os.fdopen(os.dup(fd), "w", encoding="utf-8", errors="replace") for fd in real)
    try:
        yield Apart(out, err)
    finally:
        for stream in (out, err):
            # The reader may have gone; what it did not read is nobody's any more.
            with contextlib.suppress(OSError):
                stream.close()
        sys.stdout.flush()
        sys.stderr.flush()
        for number, saved in enumerate(real, start=1):
            os.dup2(saved, number)
            os.close(saved)
        logging.getLogger().removeHandler(handler)

"""The text of a file, and its lines: what is no text that can be read is refused with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from heretic_tui.engine.inputs.misnamed import refuse_foreign
from heretic_tui.errors import UsageError
from heretic_tui.files import read_bytes


def read_text(path: Path, where: str) -> str:
    """The text of a file in UTF-8, without byte order marks.

    Raises:
        UsageError: no such file, another kind of file or encoding, or nothing in it.
    """
    try:
        data = read_bytes(path)
    except FileNotFoundError as error:
        raise UsageError(f"{where}: no such file") from error
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    start = data[:1000]
    refuse_foreign(start, where)
    # Letters of Western languages have a NUL beside them in UTF-16.
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or start.count(0) > len(start) / 3:
        raise UsageError(f"{where}: this looks like UTF-16: convert it first (iconv -f UTF-16 -t UTF-8)")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{where}: not UTF-8 at line {line} (byte {error.start}): convert it first") from error
    if (position := text.find("\0")) >= 0:
        raise UsageError(f"{where}: a NUL byte in line {text.count(chr(10), 0, position) + 1}: this is no text file")
    # Files that were concatenated leave their byte order marks in the middle, where they are invisible.
    text = text.replace("\ufeff", "")
    if not text.strip():
        raise UsageError(f"{where}: the file is empty")
    return text


def filled_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers; ends are those of Unix, of Windows, and of old Macs."""
    for number, line in enumerate(re.split("\r\n|\r|\n", text), start=1):
        if line.strip():
            yield number, line

"""opinions.jsonl: opinions that were given before, each by the digest of what was asked, so that none is paid for
twice."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from heretic_tui.engine.review.opinions.base import Opinion
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import append, parse_json, read_bytes, trim_torn_line
from heretic_tui.records import Misfit, as_json, read

FILE = "opinions.jsonl"

_DIGEST = re.compile(r"[0-9a-f]{64}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptOpinion:
    """One line of the file.

    Attributes:
        asked: SHA-256 of all that was asked, in hexadecimal digits.
    """

    asked: str
    opinion: Opinion


def kept_opinions(folder: Path) -> Mapping[str, Opinion]:
    """Opinions by digest; lines that are damaged are left out, and asked for again.

    Raises:
        UsageError: when the file cannot be read.
    """
    try:
        lines = read_bytes(folder / FILE).splitlines()
    except FileNotFoundError:
        return {}
    found: dict[str, Opinion] = {}
    for number, line in enumerate(lines, start=1):
        try:
            kept = read(KeptOpinion, parse_json(line, f"line {number}"))
        except (UsageError, Misfit):
            log.info("%s: line %s is damaged", folder / FILE, number, exc_info=True)
            continue
        if _DIGEST.fullmatch(kept.asked) and kept.opinion != "unknown":
            found[kept.asked] = kept.opinion
    return found


class Keeper:
    """Writes opinions as they come."""

    def __init__(self, path: Path, file: int) -> None:
        self._path, self._file = path, file

    def keep(self, asked: str, opinion: Opinion) -> None:
        """
        Raises:
            HereticError: when it cannot be written.
        """
        line = json.dumps(as_json(KeptOpinion(asked, opinion))) + "\n"
        try:
            append(self._file, line.encode(), sync=False)
        except OSError as error:
            raise HereticError(f"cannot write {self._path}: {error.strerror}") from error


@contextmanager
def keeper(folder: Path) -> Iterator[Keeper]:
    """Within the block opinions are added to the file of a folder, which is made where it is not there.

    Raises:
        HereticError: when the file cannot be written to.
    """
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        trim_torn_line(path)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise HereticError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield Keeper(path, file)
    finally:
        os.close(file)

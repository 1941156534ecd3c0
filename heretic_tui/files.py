"""Files that come from outside: read with one kind of error, written or added to whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.words import quoted


def user_path(text: str) -> Path:
    """A path as the user writes it, with `~` for a home folder.

    Raises:
        UsageError: when it cannot be one: too long, with a NUL, or the home of a user who does not exist.
    """
    try:
        path = Path(text).expanduser()
        # Some texts fail only when the system is asked; that nothing lies there, or that it is hidden, is no failure.
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            os.stat(path)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{quoted(text)} is no path: {reason}") from error
    return path


def short_path(path: Path | str) -> str:
    """A path with ~ for the home folder."""
    text, home = str(path), os.path.expanduser("~")
    return f"~{text[len(home) :]}" if home != "/" and text.startswith(home + "/") else text


def nearest_there(path: Path) -> Path:
    """A path, or the first folder above it that is there: where it will lie once it is made."""
    return next(each for each in (path, *path.absolute().parents) if os.path.exists(each))


def read_bytes(path: Path) -> bytes:
    """The content of a regular file.

    Raises:
        FileNotFoundError: when there is none: what that means is for the caller to say.
        UsageError: when it is no regular file (reading a FIFO would wait for ever), or cannot be read.
    """
    with _reading(path) as file:
        return file.read()


def checksum(path: Path) -> str:
    """SHA-256 of a regular file, in hexadecimal digits.

    Raises:
        FileNotFoundError: when there is none.
        UsageError: as for `read_bytes`.
    """
    with _reading(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _reading(path: Path) -> Iterator[BufferedReader]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path} is no regular file")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


def parse_json(text: str | bytes, where: str) -> object:
    """The value of a JSON text.

    Raises:
        UsageError: when it is not valid JSON, nested too deeply, or holds a number too long to read; `where` begins it.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UsageError(f"{where} is nested too deeply to be read") from error
    # UnicodeDecodeError is a ValueError, and so is an integer of more than 4,300 digits.
    except ValueError as error:
        long = "set_int_max_str_digits" in str(error)
        reason: object = "a number of more than 4,300 digits" if long else error
        if isinstance(error, json.JSONDecodeError) and error.lineno == 1:
            # A line among others has a number of its own.
            reason = f"{error.msg} at column {error.colno}"
        raise UsageError(f"{where} is not valid JSON: {reason}") from error


def read_json(path: Path) -> object:
    """The value in a JSON file.

    Raises:
        FileNotFoundError: when there is no such file.
        UsageError: when it cannot be read, or is not JSON; the message begins with the path.
    """
    return parse_json(read_bytes(path), str(path))


def write_failure(error: BaseException) -> str | None:
    """Why a file could not be written; None for an error of another kind.

    safetensors and torch write by themselves, and their errors are no OSErrors.
    """
    text = str(error)
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in text or "os error 28" in text:
        return "no space left on the disk"
    if isinstance(error, OSError):
        return error.strerror or text
    if type(error).__name__ == "SafetensorError" and (found := re.search(r"I/?O error: (.*)", text)):
        return found[1]
    if isinstance(error, RuntimeError) and ("PytorchStreamWriter" in text or "unexpected pos" in text):
        return "the file could not be written to its end"
    return None


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path beside the real one to write to; it takes the real one's place when the block ends well.

    Raises:
        HereticError: when the disk is full or the folder cannot be written to.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except Exception as error:
        if reason := write_failure(error):
            raise HereticError(f"cannot write {path}: {reason}") from error
        raise
    finally:
        # Where nothing can be written there is nothing to take away either.
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def append(file: int, data: bytes, sync: bool = True) -> None:
    """Write at the end of a file that is open for appending, all of the data or nothing: what a full disk took of it
    is cut off again, so that what comes next is not glued to a piece.

    Raises:
        OSError: when it cannot all be written, or (with `sync`) does not reach the disk.
    """
    end = os.fstat(file).st_size
    try:
        written = os.write(file, data)
        while written < len(data):
            # What is left of a short write says why.
            written += os.write(file, data[written:])
        if sync:
            os.fsync(file)
    except OSError:
        os.ftruncate(file, end)
        raise


def trim_torn_line(path: Path) -> None:
    """Cut off a partial last line, as a crash leaves it, so that the next line does not continue it."""
    if path.exists() and not (data := read_bytes(path)).endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are not there.

    Raises:
        HereticError: when it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HereticError(f"cannot make the folder {path}: {error.strerror}") from error


def folder_size(folder: Path, without: Path | None = None) -> int:
    """Bytes of all files in a folder; links are not followed, and what goes away meanwhile does not count.

    Args:
        without: a folder in it that does not count.
    """
    total = 0
    for path in folder.rglob("*"):
        if without is not None and without in path.parents:
            continue
        with suppress(OSError):
            if path.is_file() and not path.is_symlink():
                total += path.stat().st_size
    return total


def write_json(path: Path, record: object) -> None:
    """Write JSON atomically."""
    with replaced(path) as beside:
        beside.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def state_folder() -> Path:
    """Where this program keeps what the user did not name a place for."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    try:
        return Path(state).expanduser() / "heretic-tui"
    except RuntimeError:  # no such user
        return Path(state) / "heretic-tui"


def default_runs_dir() -> Path:
    """Where the runs are, unless the user says otherwise."""
    return state_folder() / "runs"

"""What is said over the socket of a run: a JSON object a line, each checked against a dataclass when it is read."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from heretic_tui.commands import MOST_TRIALS, Close, Command, MoreTrials
from heretic_tui.errors import UsageError
from heretic_tui.files import parse_json
from heretic_tui.records import Misfit, as_json, read_object

# Changed when an older program could not understand a newer one any more. (Fields and commands may be added.)
PROTOCOL = 1
# Bytes of a line: a conversation that fills the positions of any model is shorter.
LONGEST = 1 << 22
# Bytes that are read at once.
_PIECE = 1 << 16
# Each connection numbers what it asks for from 0; this many of the run's numbers are its own.
NUMBERS = 1 << 32

# Said by the terminal


@dataclass(frozen=True)
class Hello:
    """The first thing that is said; `terminal` is what people know it by."""

    protocol: int
    version: str
    terminal: str


@dataclass(frozen=True)
class TakeControl:
    """`over`: also where another terminal has control."""

    number: int
    over: bool


@dataclass(frozen=True)
class Ask:
    number: int
    what: Literal["pause", "resume", "stop", "abort", "close"]


@dataclass(frozen=True)
class Send:
    """A command: the name of its class, and its fields. `key` names it in a Cancel."""

    number: int
    key: int
    name: str
    command: dict[str, object]


@dataclass(frozen=True)
class Cancel:
    number: int
    key: int


Request = TakeControl | Ask | Send | Cancel

# Said by the process that runs the engine


@dataclass(frozen=True)
class Greeting:
    """The answer to Hello. `base` is what the connection adds to the `id` of its commands."""

    protocol: int
    version: str
    pid: int
    base: int


@dataclass(frozen=True)
class Standing:
    """Who controls the run (None: nobody; `yours`: whom this is told), whether the engine's process has a screen of its
    own, and what the engine was asked for, as in `control.Control`. `seen`: the number of the latest request that had
    been read."""

    controller: str | None
    yours: bool
    screen: bool
    requested: str
    paused: bool
    in_trial: bool
    ready: bool
    busy: bool
    seen: int


@dataclass(frozen=True)
class Told:
    """An event that is not in the journal, or not every time. `after`: so many records were in the journal by then."""

    after: int
    event: dict[str, object]


@dataclass(frozen=True)
class Refused:
    """A request that could not be obeyed, and why."""

    text: str


@dataclass(frozen=True)
class Goodbye:
    """Why the connection ends."""

    text: str


Said = Hello | Request | Greeting | Standing | Told | Refused | Goodbye

_KINDS: dict[str, type[Said]] = {cls.__name__: cls for cls in get_args(Said)}
_COMMANDS: dict[str, type[Command]] = {cls.__name__: cls for cls in get_args(Command) if cls is not Close}


class BadLine(Exception):
    """What came over the socket cannot be: the reason, for people."""


def encode(said: Said) -> bytes:
    return json.dumps({"say": type(said).__name__, **_fields(said)}).encode() + b"\n"


def decode(line: bytes) -> Said | None:
    """None for a kind that this version does not know.

    Raises:
        BadLine: for anything but a JSON object with the fields of its kind.
    """
    try:
        record = parse_json(line, "a line")
        if not isinstance(record, dict):
            raise BadLine("a line is no JSON object")
        kind = record.get("say")
        if not isinstance(kind, str):
            raise BadLine("a line does not say what it is")
        return read_object(_KINDS[kind], record) if kind in _KINDS else None
    except UsageError as error:
        raise BadLine(str(error)) from error
    except Misfit as misfit:
        raise BadLine(f"{kind}: {misfit}") from misfit


def encode_command(command: Command, base: int) -> tuple[str, dict[str, object]]:
    """Name and fields of a command. Where it has an `id`, the answers to it do; it is one of the connection's own
    numbers."""
    fields = _fields(command)
    if isinstance(number := fields.get("id"), int):
        fields["id"] = number + base
    return type(command).__name__, fields


def decode_command(name: str, fields: Mapping[str, object], base: int) -> Command:
    """
    Raises:
        BadLine: for a command that this version does not know, with a field that cannot be, or with the `id` of another
            connection's.
    """
    if name not in _COMMANDS:
        raise BadLine(f"the command {_shown(name)} is not known: the run was started by another version")
    try:
        command = read_object(_COMMANDS[name], fields)
    except Misfit as misfit:
        raise BadLine(f"{name}: {misfit}") from misfit
    number = getattr(command, "id", base)
    if not base <= number < base + NUMBERS:
        raise BadLine(f"{name}: the id {number} is not this connection's")
    if isinstance(command, MoreTrials) and not 0 < command.n_trials <= MOST_TRIALS:
        raise BadLine(f"{name}: a run has from 1 to {MOST_TRIALS} trials")
    return command


def _fields(said: object) -> dict[str, object]:
    fields = as_json(said)
    assert isinstance(fields, dict)
    return fields


def _shown(name: str) -> str:
    return re.sub(r"\W", "?", name[:30], flags=re.ASCII)


class Link:
    """One end of a connection, which never waits: it gives whole lines, and keeps what cannot be sent yet.

    Attributes:
        waiting: bytes that could not be sent yet.
        ended: whether the other end is gone.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.waiting = bytearray()
        self.ended = False
        self._read = bytearray()

    def send(self, said: Said) -> None:
        self.waiting += encode(said)
        self.flush()

    def flush(self) -> None:
        """Send what can be sent."""
        try:
            while self.waiting and not self.ended:
                del self.waiting[: self.socket.send(self.waiting)]
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True

    def receive(self, pieces: int = 1) -> Iterator[Said]:
        """What has come, at most so many pieces of it.

        Raises:
            BadLine: where a line cannot be read, or is too long.
        """
        for _ in range(pieces):
            try:
                piece = self.socket.recv(_PIECE)
            except BlockingIOError:
                break
            except OSError:
                piece = b""
            if not piece:
                self.ended = True
                break
            self._read += piece
            if b"\n" not in piece:
                continue
            *lines, rest = bytes(self._read).split(b"\n")
            self._read = bytearray(rest)
            for line in lines:
                if said := decode(line):
                    yield said
        if len(self._read) > LONGEST:
            raise BadLine(f"a line is longer than {LONGEST} bytes")

    def close(self) -> None:
        self.ended = True
        self.socket.close()

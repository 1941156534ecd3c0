"""What may be said over the socket: every command as it was asked, and nothing else."""

from __future__ import annotations

import json
import socket
import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import pytest

from heretic_tui.commands import Close, Command, MoreTrials, Shift
from heretic_tui.parameters import Parameters
from heretic_tui.records import as_json
from heretic_tui.run.attach import protocol
from heretic_tui.run.attach.protocol import BadLine, Link, decode_command, encode_command

BASE = 5 * protocol.NUMBERS
PARAMETERS = {
    "direction_index": 3.5,
    "components": {
        "attn.o_proj": {"max_weight": 1.0, "max_weight_position": 2.0, "min_weight": 0.5, "min_weight_distance": 1.0}
    },
}


def example(kind: Any) -> Any:
    """Some value of an annotated type: a command that is added later has one too."""
    if kind is Parameters:
        return Parameters.from_json(PARAMETERS)
    if is_dataclass(kind):
        hints, make = get_type_hints(kind), cast(Any, kind)
        return make(**{field.name: example(hints[field.name]) for field in fields(kind)})
    if get_origin(kind) is Literal:
        return get_args(kind)[-1]
    if get_origin(kind) in (typing.Union, types.UnionType):
        return example(next(part for part in get_args(kind) if part is not type(None)))
    if get_origin(kind) is tuple:
        parts = [part for part in get_args(kind) if part is not Ellipsis]
        return tuple(example(part) for part in parts)
    return {int: 7, float: 0.25, str: "é\n{}", bool: True}[kind]


@pytest.mark.parametrize("kind", [cls for cls in get_args(Command) if cls is not Close])
def test_every_command_arrives_as_it_was_sent(kind: type[Command]) -> None:
    sent = example(kind)
    line = protocol.encode(protocol.Send(1, 2, *encode_command(sent, BASE)))
    assert line.count(b"\n") == 1
    said = protocol.decode(line.rstrip(b"\n"))
    assert isinstance(said, protocol.Send)
    read = decode_command(said.name, said.command, BASE)
    assert type(read) is kind
    expected = as_json(sent)
    assert isinstance(expected, dict)
    if "id" in expected:
        expected["id"] += BASE
    assert as_json(read) == expected


@pytest.mark.parametrize("kind", [cls for cls in get_args(Command) if cls is not Close])
def test_a_command_that_lacks_a_field_or_has_another_connections_number_is_refused(kind: type[Command]) -> None:
    name, record = encode_command(example(kind), BASE)
    needed = next((f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING), None)
    if needed is None:
        # There is nothing that it could lack.
        assert type(decode_command(name, {}, BASE)) is kind
        return
    with pytest.raises(BadLine, match=f"{name}: .*{needed}"):
        decode_command(name, {key: value for key, value in record.items() if key != needed}, BASE)
    if "id" in record:
        for other in (7, -1, BASE - 1, BASE + protocol.NUMBERS):
            with pytest.raises(BadLine, match="not this connection's"):
                decode_command(name, {**record, "id": other}, BASE)


def test_commands_that_cannot_be_are_refused() -> None:
    for name in ("Close", "Sp\x1b[31moon", "x" * 1000):
        with pytest.raises(BadLine, match="another version") as refused:
            decode_command(name, {}, BASE)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 200
    for wrong in (0, -5, 100_001, True, 1.5, "9", None, 10**30):
        with pytest.raises(BadLine):
            decode_command("MoreTrials", {"n_trials": wrong}, BASE)
    assert decode_command("MoreTrials", {"n_trials": 5, "of_a_newer_version": 1}, BASE) == MoreTrials(5)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no json",
        b"[1]",
        b'"Ask"',
        b"{}",
        b'{"say": 5}',
        b'{"say": "Ask"}',
        b'{"say": "Ask", "number": 1, "what": "explode"}',
        b'{"say": "Ask", "number": "1", "what": "pause"}',
        b'{"say": "Send", "number": 1, "key": 1, "name": "Shift", "command": 5}',
        b'{"say": "Cancel", "number": 1, "key": NaN}',
        b'{"say": "Hello", "protocol": 1, "version": "1", "terminal": ["a"]}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"say": "Cancel", "number": 1, "key": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_line_that_cannot_be_is_refused(line: bytes) -> None:
    with pytest.raises(BadLine):
        protocol.decode(line)


def test_what_a_newer_version_says_is_passed_over() -> None:
    assert protocol.decode(b'{"say": "Sing", "song": 1}') is None
    record = {"say": "Ask", "number": 1, "what": "pause", "how": "gently"}
    assert protocol.decode(json.dumps(record).encode()) == protocol.Ask(1, "pause")


def test_lines_arrive_whole_however_they_are_cut() -> None:
    one, other = socket.socketpair()
    one.setblocking(False)
    link = Link(one)
    data = b"".join(protocol.encode(protocol.Ask(number, "pause")) for number in range(3))
    read: list[Any] = []
    for byte in data:
        other.send(bytes([byte]))
        read += link.receive()
    assert [said.number for said in read] == [0, 1, 2]
    assert not list(link.receive())
    assert not link.ended
    other.close()
    assert not list(link.receive())
    assert link.ended
    one.close()


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    one, other = socket.socketpair()
    one.setblocking(False)
    link = Link(one)

    def fill() -> None:
        for _ in range(protocol.LONGEST // 1000 + 100):
            other.send(b"x" * 1000)
            list(link.receive())

    with pytest.raises(BadLine, match="longer than"):
        fill()
    one.close()
    other.close()


def test_what_cannot_be_sent_is_kept_and_sent_later() -> None:
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    link, reader = Link(one), Link(other)
    said = protocol.Send(1, 1, *encode_command(Shift(trial=3), BASE))
    count = 0
    while not link.waiting:
        link.send(said)
        count += 1
    link.send(said)
    read: list[Any] = []
    while len(read) <= count:
        read += list(reader.receive())
        link.flush()
    assert read == [said] * (count + 1)
    assert not link.waiting
    one.close()
    other.close()

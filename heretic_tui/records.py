"""Frozen dataclasses from JSON and back: every field is checked against its annotation."""

from __future__ import annotations

import functools
import math
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Literal, Protocol, TypeVar, runtime_checkable

from heretic_tui.errors import UsageError

T = TypeVar("T")

# Integers beyond it have more digits than any count or size.
_LARGEST = 2**63

_Reader = Callable[[object], object]


class Misfit(ValueError):
    """A value of JSON that is not what its place wants.

    Attributes:
        place: where it is, from the outermost key: layers[3].auc; empty for the whole.
        missing: whether there is nothing at that place.
    """

    def __init__(self, value: object = None, place: str = "", missing: bool = False) -> None:
        super().__init__(value)
        self.value, self.place, self.missing = value, place, missing

    def within(self, outer: str) -> Misfit:
        """The same, with the key that contains it put in front."""
        inner = f".{self.place}" if self.place and not self.place.startswith("[") else self.place
        return Misfit(self.value, outer + inner, self.missing)

    def __str__(self) -> str:
        if self.missing:
            return f"{self.place!r} is missing"
        return f"{self.place!r} cannot be {self.value!r:.40}" if self.place else f"it cannot be {self.value!r:.40}"


@runtime_checkable
class Record(Protocol):
    """A dataclass whose JSON is not just its fields by name. `from_json`, a method of the class, reads it back and
    raises a Misfit or a UsageError."""

    def to_json(self) -> object: ...


def as_json(value: object) -> object:
    """A value of records, lists, tuples and mappings as plain JSON."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    if isinstance(value, Mapping):
        return {key: as_json(each) for key, each in value.items()}
    if isinstance(value, Record):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    return value


def read(kind: type[T], value: object) -> T:
    """The value of an annotated type, from JSON: a dataclass, a number, a list, a mapping, a choice of them.

    Unknown keys are left out, so that what a newer program wrote can still be read; a missing one has its field's
    default. Numbers are finite, and no boolean is one.

    Raises:
        Misfit: for a key that is missing, or a value that is of another type.
    """
    reader: _Reader = _reader(typing.cast(Hashable, kind))
    return typing.cast(T, reader(value))


def read_object(cls: type[T], record: Mapping[str, object], **given: object) -> T:
    """The dataclass, from a JSON object.

    Args:
        given: values of fields that the record does not have.

    Raises:
        Misfit: as for `read`.
    """
    values: dict[str, object] = {}
    for name, reader, needed in _fields_of(typing.cast(Hashable, cls)):
        if name in record:
            try:
                values[name] = reader(record[name])
            except Misfit as misfit:
                raise misfit.within(name) from None
        elif needed and name not in given:
            raise Misfit(place=name, missing=True)
    make: Callable[..., T] = cls
    return make(**{**given, **values})


@functools.cache
def _fields_of(cls: type) -> list[tuple[str, _Reader, bool]]:
    """Name and reader of each field that a record has, and whether it must have it. (One with `unwritten` in its
    metadata is none of the record.)"""
    hints = typing.get_type_hints(cls)
    return [
        (field.name, _reader(hints[field.name]), field.default is MISSING and field.default_factory is MISSING)
        for field in fields(cls)
        if not field.metadata.get("unwritten")
    ]


@functools.cache
def _reader(kind: object) -> _Reader:
    """What reads a value of a type."""
    parts = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin is types.UnionType or origin is typing.Union:
        return _any_of([_reader(part) for part in parts])
    if origin is list:
        return _list_of(_reader(parts[0]))
    if origin is tuple and parts[-1] is Ellipsis:
        several = _list_of(_reader(parts[0]))
        return lambda value: tuple(several(value))
    if origin is tuple:
        return _tuple_of([_reader(part) for part in parts])
    if origin is Literal:
        return lambda value: value if isinstance(value, str) and value in parts else _misfit(value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping_of(_reader(parts[1]))
    if custom := getattr(kind, "from_json", None):
        return functools.partial(_custom, typing.cast(_Reader, custom))
    if isinstance(kind, type) and is_dataclass(kind):
        return functools.partial(_dataclass, kind)
    return functools.partial(_plain, kind)


def _plain(kind: object, value: object) -> object:
    if type(value) is int and kind in (int, float):
        return value if -_LARGEST < value < _LARGEST else _misfit(value)
    if type(value) is float and kind is float:
        return value if math.isfinite(value) else _misfit(value)
    if kind in (object, type(value)) or kind is typing.Any:
        return value
    return _misfit(value)


def _misfit(value: object) -> object:
    raise Misfit(value)


def _any_of(readers: list[_Reader]) -> _Reader:
    def read_any(value: object) -> object:
        said: list[Misfit] = []
        for reader in readers:
            try:
                return reader(value)
            except Misfit as misfit:
                said.append(misfit)
        # If one of them has read parts of it, it knows which part does not fit.
        raise next((misfit for misfit in said if misfit.place), Misfit(value))

    return read_any


def _list_of(reader: _Reader) -> Callable[[object], list[object]]:
    def read_list(value: object) -> list[object]:
        if not isinstance(value, list):
            raise Misfit(value)
        found: list[object] = []
        for each in value:
            try:
                found.append(reader(each))
            except Misfit as misfit:
                raise misfit.within(f"[{len(found)}]") from None
        return found

    return read_list


def _tuple_of(readers: list[_Reader]) -> _Reader:
    def read_tuple(value: object) -> object:
        if not isinstance(value, list) or len(value) != len(readers):
            raise Misfit(value)
        return tuple(reader(each) for reader, each in zip(readers, value, strict=True))

    return read_tuple


def _mapping_of(reader: _Reader) -> _Reader:
    def read_mapping(value: object) -> object:
        if not isinstance(value, dict):
            raise Misfit(value)
        found = {}
        for key, each in value.items():
            try:
                found[key] = reader(each)
            except Misfit as misfit:
                raise misfit.within(str(key)[:40]) from None
        return found

    return read_mapping


def _custom(reader: _Reader, value: object) -> object:
    try:
        return reader(value)
    except UsageError:
        raise Misfit(value) from None


def _dataclass(cls: type, value: object) -> object:
    if not isinstance(value, dict):
        raise Misfit(value)
    return read_object(cls, value)

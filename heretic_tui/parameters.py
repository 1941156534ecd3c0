"""The parameters of one edit: which direction, and a kernel for each component, to and from JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from heretic_tui.errors import UsageError
from heretic_tui.files import read_json
from heretic_tui.words import quoted

# Kernels are of the size of 1; with numbers like these float32 overflows, and figures would mean nothing.
_LARGEST = 1e6
_EXPECTED = "expected an object with direction_index and components"


@dataclass(frozen=True)
class Kernel:
    """How strongly each layer of one component is edited: a peak that decreases linearly on both sides.

    Attributes:
        max_weight: strength at the peak.
        max_weight_position: layer of the peak, real-valued.
        min_weight: strength at distance `min_weight_distance` (absolute, not a fraction of the peak).
        min_weight_distance: reach in layers; beyond it a layer is not edited.
        shares: where a layer has several directions, how strongly the second and each further one is taken out, as a
            share of the strength of the first; empty: all alike.
    """

    max_weight: float
    max_weight_position: float
    min_weight: float
    min_weight_distance: float
    shares: tuple[float, ...] = ()

    def strength(self, layer: int) -> float:
        """λ for a layer: linear from `max_weight` at the peak to `min_weight` at the reach, 0 beyond it."""
        distance = abs(layer - self.max_weight_position)
        if distance > self.min_weight_distance:
            return 0.0
        return self.max_weight + distance / self.min_weight_distance * (self.min_weight - self.max_weight)

    def strengths(self, layer: int, rank: int) -> tuple[float, ...]:
        """λ for each of a layer's directions.

        Args:
            rank: how many there are.

        Raises:
            UsageError: where there are shares for another number of directions.
        """
        strength = self.strength(layer)
        if self.shares and len(self.shares) != rank - 1:
            raise UsageError(
                f"the edit has shares for {len(self.shares) + 1} directions of a layer, and the layers have {rank}"
            )
        return (strength, *(strength * share for share in self.shares or (1.0,) * (rank - 1)))

    def to_json(self) -> dict[str, object]:
        """Without what is not said."""
        found = asdict(self)
        shares = found.pop("shares")
        return {**found, "shares": list(shares)} if shares else found


@dataclass(frozen=True)
class Parameters:
    """One point of the search space.

    Attributes:
        direction_index: real-valued layer index of the one direction for all layers, or None: each layer its own.
        components: a kernel for each component that is edited; a component that is absent is left alone.
        direction_method: what found the directions, in a run with several methods; None for its only one, or its first.
    """

    direction_index: float | None
    components: Mapping[str, Kernel]
    direction_method: str | None = None

    def unknown_component(self, known: Iterable[str]) -> str | None:
        """That a kernel is of no component of a model, which has these, as it is told to people; None where all are."""
        there = sorted(set(known))
        unknown = sorted(set(self.components).difference(there))
        return f"the model has no component {quoted(unknown[0])} (it has {', '.join(there)})" if unknown else None

    def to_json(self) -> dict[str, object]:
        """Without the direction method where the run has but one."""
        return {
            **({} if self.direction_method is None else {"direction_method": self.direction_method}),
            "direction_index": self.direction_index,
            "components": {name: kernel.to_json() for name, kernel in self.components.items()},
        }

    @staticmethod
    def from_json(record: Mapping[str, object], where: str = "edit") -> Parameters:
        """Read back what `to_json` wrote.

        Raises:
            UsageError: naming the key that is missing, unknown, not a finite number, or out of its range.
        """
        if not isinstance(record, dict):
            raise UsageError(f"{where}: {_EXPECTED}")
        _only_keys(record, {"direction_index", "components", "direction_method"}, where)
        method = record.get("direction_method")
        if method is not None and not (isinstance(method, str) and method.isidentifier()):
            raise UsageError(f"{where}: direction_method must be the name of one, not {quoted(method)}")
        index = record.get("direction_index")
        if index is not None:
            index = _number(record, "direction_index", where)
            if index < 0:
                raise UsageError(f"{where}: direction_index must not be negative, not {index:g}")
        components = record.get("components")
        if not isinstance(components, dict) or not components:
            raise UsageError(f"{where}: components must be an object with at least one component")
        kernels = {name: _kernel(kernel, f"{where}: {quoted(name)}") for name, kernel in components.items()}
        return Parameters(index, kernels, method)

    @staticmethod
    def from_file(path: Path) -> Parameters:
        """Read a file made by hand or copied from `show --json`.

        Raises:
            UsageError: when the file cannot be read or is not such JSON.
        """
        try:
            record = read_json(path)
        except FileNotFoundError as error:
            raise UsageError(f"cannot read edit file {path}: {error.strerror}") from error
        if not isinstance(record, dict):
            raise UsageError(f"{path}: {_EXPECTED}")
        return Parameters.from_json(record, where=str(path))


def _kernel(record: object, where: str) -> Kernel:
    if not isinstance(record, dict):
        raise UsageError(f"{where}: expected an object with the four kernel parameters")
    names = tuple(name for name in Kernel.__dataclass_fields__ if name != "shares")
    _only_keys(record, {*names, "shares"}, where)
    peak, position, floor, reach = (_number(record, name, where) for name in names)
    kernel = Kernel(peak, position, floor, reach, _shares(record.get("shares", []), where))
    if kernel.min_weight_distance <= 0:
        raise UsageError(f"{where}: min_weight_distance must be above 0, not {kernel.min_weight_distance:g}")
    return kernel


def _shares(given: object, where: str) -> tuple[float, ...]:
    if not isinstance(given, list):
        raise UsageError(f"{where}: shares must be a list of numbers")
    shares = {f"shares[{place}]": value for place, value in enumerate(given)}
    return tuple(_number(shares, name, where) for name in shares)


def _only_keys(record: dict[str, object], known: set[str], where: str) -> None:
    if unknown := sorted(set(record) - known):
        raise UsageError(f"{where}: unknown key {quoted(unknown[0])} (known: {', '.join(sorted(known))})")


def _number(record: dict[str, object], key: str, where: str) -> float:
    value = record.get(key)
    if key not in record:
        raise UsageError(f"{where}: {key} is missing")
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST <= value <= _LARGEST:
        raise UsageError(
            f"{where}: {key} must be a finite number, at most {_LARGEST:,.0f} in size, not {quoted(value)}"
        )
    return float(value)

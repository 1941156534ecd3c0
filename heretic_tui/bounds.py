"""The bounds of a search by their names: spaces that have a name, and bounds of a person's own in place of some."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from heretic_tui.errors import UsageError
from heretic_tui.words import nearest, quoted

# The lowest value and the highest.
Range: TypeAlias = tuple[float, float]
Bounds: TypeAlias = Mapping[str, Range]


@dataclass(frozen=True)
class Bound:
    """
    Attributes:
        meaning: what lies within it, and what its numbers are.
        limits: beyond them a value means nothing.
    """

    meaning: str
    limits: Range


BOUNDS: Mapping[str, Bound] = MappingProxyType(
    {
        "direction_index": Bound(
            "the layer whose direction is taken for all layers, as a share of the depth", (0.0, 1.0)
        ),
        "mixer_max_weight": Bound(
            "the weight at the peak, of attention and other token mixers (below 0: none)", (-10.0, 10.0)
        ),
        "mlp_max_weight": Bound("the weight at the peak, of MLPs and experts (below 0: none)", (-10.0, 10.0)),
        "max_weight_position": Bound("the layer of the peak, as a share of the depth", (0.0, 1.0)),
        "min_weight": Bound("the weight at the reach, as a share of that at the peak", (0.0, 1.0)),
        "min_weight_distance": Bound(
            "the reach in layers from the peak, as a share of the depth; never below one layer", (0.0, 1.0)
        ),
        "direction_share": Bound(
            "the weight of a layer's second direction and of each further one, as a share of that of the first",
            (0.0, 2.0),
        ),
    }
)

# The space of heretic 1.x, which runs have where nothing else is said. Its numbers decide what older runs draw.
HERETIC_1: Bounds = MappingProxyType(
    {
        "direction_index": (0.4, 0.9),
        "mixer_max_weight": (0.8, 1.5),
        # An edit of what comes after the token mixers can switch off.
        "mlp_max_weight": (-0.25, 1.5),
        "max_weight_position": (0.6, 1.0),
        "min_weight": (0.0, 1.0),
        "min_weight_distance": (0.0, 0.6),
        "direction_share": (0.0, 1.0),
    }
)
# Weights up to twice as high, and peaks and directions of any layer but the first tenth: what reports of recent models
# found outside of the other one. MLPs switch off in as many trials at random (a seventh).
WIDE: Bounds = MappingProxyType(
    {
        **HERETIC_1,
        "direction_index": (0.1, 1.0),
        "mixer_max_weight": (0.4, 3.0),
        "mlp_max_weight": (-0.5, 3.0),
        "max_weight_position": (0.0, 1.0),
        "min_weight_distance": (0.0, 1.0),
    }
)
DEFAULT_SPACE = "heretic-1"
SPACES: Mapping[str, Bounds] = MappingProxyType({DEFAULT_SPACE: HERETIC_1, "wide": WIDE})


def checked_bounds(given: object, where: str = "") -> dict[str, Range]:
    """Bounds as a person wrote them, by name, in the order of `BOUNDS`.

    Args:
        given: a table of [LOW, HIGH] or "LOW..HIGH", or a list of texts NAME=LOW..HIGH.
        where: where they stand, for messages; empty where the caller says it.

    Raises:
        UsageError: an unknown name, what is no range, or a range that cannot be.
    """
    lead = f"{where}: " if where else ""
    if isinstance(given, str):
        given = [part for part in given.split(",") if part.strip()]
    if isinstance(given, Sequence) and all(isinstance(part, str) for part in given):
        pairs = [part.partition("=") for part in given]
        if wrong := next((part for part, (_, sign, _) in zip(given, pairs, strict=True) if not sign), None):
            hint = "" if wrong.strip() in BOUNDS else nearest(wrong, BOUNDS)
            raise UsageError(f"{lead}expected NAME=LOW..HIGH, not {quoted(wrong)}{hint}")
        names = [name.strip() for name, _, _ in pairs]
        if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
            raise UsageError(f"{lead}{quoted(twice)} is given twice: name each once")
        given = {name: text for name, (_, _, text) in zip(names, pairs, strict=True)}
    if not isinstance(given, Mapping):
        raise UsageError(f"{lead}expected NAME=LOW..HIGH for each bound, not {quoted(given)}")
    if unknown := next((name for name in given if name not in BOUNDS), None):
        hint = nearest(str(unknown), BOUNDS) or f" (known: {', '.join(BOUNDS)})"
        raise UsageError(f"{lead}unknown bound {quoted(unknown)}{hint}")
    return {name: _checked(name, given[name], f"{lead}{name}") for name in BOUNDS if name in given}


def _checked(name: str, value: object, where: str) -> Range:
    found = _numbers(value)
    if found is None:
        raise UsageError(f"{where}: expected two finite numbers LOW..HIGH, not {quoted(value)}")
    low, high = found
    least, most = BOUNDS[name].limits
    if not least <= low < high <= most:
        why = f"{low:g} is not below {high:g}" if low >= high else f"it lies within {range_text((least, most))}"
        raise UsageError(f"{where}: {range_text(found)} cannot be: {why} ({BOUNDS[name].meaning})")
    if high <= 0:
        raise UsageError(f"{where}: {range_text(found)} cannot be: no trial would change anything")
    return found


def _numbers(value: object) -> Range | None:
    if isinstance(value, str):
        parts: Sequence[object] = value.strip().strip("[]").split(".." if ".." in value else ",")
    elif isinstance(value, list | tuple):
        parts = value
    else:
        return None
    numbers = []
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, int | float | str):
            return None
        try:
            number = float(part)
        except (ValueError, OverflowError):
            return None
        if not math.isfinite(number):
            return None
        numbers.append(number)
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None


def bounds_of(space: str, changes: Bounds) -> dict[str, Range]:
    """All bounds of a space.

    Args:
        space: the name of one.
        changes: what stands in the place of some of its bounds.

    Raises:
        UsageError: where no space has that name.
    """
    if space not in SPACES:
        raise UsageError(f"there is no search space {quoted(space)}{nearest(space, SPACES)}")
    return {**SPACES[space], **changes}


def changed_bounds(space: str, bounds: Bounds) -> dict[str, Range]:
    """Those of all bounds that are others than a space has."""
    return {name: bounds[name] for name in BOUNDS if bounds[name] != SPACES[space][name]}


def recorded_bounds(settings: Mapping[str, object]) -> dict[str, Range]:
    """All bounds that a run searches within, by its recorded settings. (Older versions wrote none down.)

    Raises:
        UsageError: where the record cannot be.
    """
    changes = checked_bounds(settings.get("search_bounds") or {}, "search_bounds")
    return bounds_of(str(settings.get("search_space", DEFAULT_SPACE)), changes)


def space_words(settings: Mapping[str, object]) -> str:
    """What a run searches, by its recorded settings: `heretic-1, with mixer_max_weight 0.5..3`; of a record that this
    version cannot read, why not."""
    space = str(settings.get("search_space", DEFAULT_SPACE))
    try:
        changes = checked_bounds(settings.get("search_bounds") or {}, "search_bounds")
    except UsageError as error:
        return str(error)
    words = ", ".join(f"{name} {range_text(found)}" for name, found in changes.items())
    with_changes = f"{space}, with {words}" if words else space
    return f"{with_changes}; directions are added" if settings.get("steer") == "add" else with_changes


def range_text(found: Range) -> str:
    """As it is typed: `0.5..3`."""
    return f"{found[0]:.6g}..{found[1]:.6g}"

"""The bounds that the front of a search presses against, as lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from heretic_tui.bounds import BOUNDS, DEFAULT_SPACE, Bounds, checked_bounds, range_text
from heretic_tui.errors import UsageError
from heretic_tui.run.pressed import Pressed, widened
from heretic_tui.words import plain

_PARTS = {
    "max_weight": "max weight",
    "max_weight_position": "the peak's layer",
    "min_weight": "min weight as a share of max weight",
    "min_weight_distance": "the reach in layers",
}


def pressed_lines(pressed: Sequence[Pressed], settings: Mapping[str, object]) -> list[str]:
    """A sentence for each, and the flags that widen all of them.

    Args:
        settings: of the run, as they were recorded.
    """
    if not pressed:
        return []
    lines = [pressed_words(each) for each in pressed]
    return [*lines, f"widen what is searched, in another run: {widening(pressed, settings)}"]


def pressed_words(each: Pressed) -> str:
    """`4 of 9 trials on the front have max weight of attn.o_proj near its upper bound (1.5)`."""
    component, _, part = each.dimension.rpartition(".")
    what = f"{_PARTS.get(part, part.replace('_', ' '))} of {plain(component)}" if component else "direction index"
    side = "upper" if each.upper else "lower"
    return f"{each.near} of {each.of} trials on the front have {what} near its {side} bound ({each.value:.3g})"


def widening(pressed: Sequence[Pressed], settings: Mapping[str, object]) -> str:
    """The flags, with what the run had set beside."""
    changed: Bounds = {**_own(settings), **widened(pressed)}
    words = " ".join(f"{name}={range_text(changed[name])}" for name in BOUNDS if name in changed)
    space = str(settings.get("search_space", DEFAULT_SPACE))
    others = "" if space == DEFAULT_SPACE else f"--search-space {plain(space)} "
    return f"{others}--search-bounds {words}"


def _own(settings: Mapping[str, object]) -> dict[str, tuple[float, float]]:
    """Bounds that the run set one by one."""
    given = settings.get("search_bounds")
    try:
        return checked_bounds(given or {}, "search_bounds")
    except UsageError:
        return {}

"""The edit of a trial turned by its knobs: their values, bounds and steps, and what the engine says of the edit as it
is now. Knows no Textual."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from heretic_tui import events as ev
from heretic_tui.commands import Keep, Try
from heretic_tui.parameters import Kernel, Parameters

# What a step is where a knob is turned once, and where it is turned far; shares of weight, layers.
_WEIGHT, _LAYERS = (0.05, 0.25), (0.5, 2.0)
_DIRECTION = "direction_index"
# Before the number of a direction, the share that it is taken out with (engine/search/space.py).
_OTHER = "share_"
# Prompts that are answered at every turn, at most.
MOST_PINNED = 4


@dataclass(frozen=True)
class Knob:
    """One number of an edit.

    Attributes:
        name: as events.py: SpaceKnown calls it.
        label: what it is called on the screen.
        steps: of a small turn and of a large one.
    """

    name: str
    label: str
    low: float
    high: float
    steps: tuple[float, float]


class Tweak:
    """One trial's edit, and what has become of it.

    Args:
        trial: its number.
        start: its parameters.
        ranges: the bounds of what is searched.

    Attributes:
        now: the edit as it is turned.
        at: place of the knob that is turned.
        pinned: prompts that are answered at every turn.
        answers, figures, ended: what the engine said of the latest edit; answers of the one before stay until new ones
            come.
        kept: edits that were asked to become trials, by the number of the request.
    """

    def __init__(self, trial: int, start: Parameters, ranges: Mapping[str, tuple[float, float]]) -> None:
        self.trial = trial
        self.start = self.now = start
        self.knobs = _knobs(start, ranges)
        # What the direction's index is where one is wanted in place of each layer's own.
        low, high = ranges.get(_DIRECTION, (0.0, 0.0))
        self._index = start.direction_index if start.direction_index is not None else round((low + high) / 2, 1)
        # The weight at the reach keeps its share of the peak's, also where that is turned down to 0 and up again.
        self._shares = {name: _share(kernel) for name, kernel in start.components.items()}
        self.at = 0
        self.pinned: list[str] = []
        self.answers: list[ev.TriedAnswer] = []
        self.figures: ev.TryFigures | None = None
        self.ended: ev.TryEnded | None = None
        self.asked: Try | None = None
        self._answered: tuple[str, ...] = ()

    # Knobs

    @property
    def changed(self) -> bool:
        return self.now != self.start

    def value(self, knob: Knob, of: Parameters | None = None) -> float | None:
        """Where a knob stands; None for a direction of each layer's own."""
        edit = of or self.now
        if knob.name == _DIRECTION:
            return edit.direction_index
        component, _, part = knob.name.rpartition(".")
        kernel = edit.components[component]
        if part == "min_weight":
            return _share(kernel) if of else self._shares[component]
        if part.startswith(_OTHER):
            place = _place(part)
            return kernel.shares[place] if place < len(kernel.shares) else 1.0
        number: float = getattr(kernel, part)
        return number

    def turn(self, by: int, far: bool = False) -> bool:
        """Turn the knob that the cursor is on; on its bounds it stays. Returns whether anything changed."""
        knob = self.knobs[self.at]
        before = self.value(knob)
        step = knob.steps[far]
        # On the grid of the small steps, so that two turns back and forth end where they began.
        fine = knob.steps[0]
        old = self._index if before is None else before
        new = round(round((old + by * step) / fine) * fine, 6)
        return self._set(knob, min(max(new, knob.low), knob.high))

    def put(self, text: str) -> str | None:
        """Set the knob that the cursor is on to a number that was typed. Returns why that cannot be; then nothing
        changes."""
        knob = self.knobs[self.at]
        bounds = f"{knob.label} can be {knob.low:g} to {knob.high:g}"
        try:
            value = float(text.strip().replace(",", "."))
        except ValueError:
            return f"{text or 'Nothing'} is no number: {bounds}."
        if not knob.low <= value <= knob.high:
            return f"{bounds}, not {text}."
        self._set(knob, value)
        return None

    def reset(self) -> bool:
        """Put the knob back to where the trial has it."""
        return self._set(self.knobs[self.at], self.value(self.knobs[self.at], self.start))

    def reset_all(self) -> bool:
        changed, self.now = self.changed, self.start
        self._shares = {name: _share(kernel) for name, kernel in self.start.components.items()}
        return changed

    def own_directions(self) -> bool:
        """Between one direction and each layer's own."""
        one = self.now.direction_index
        self._index = self._index if one is None else one
        self.now = replace(self.now, direction_index=self._index if one is None else None)
        return True

    def move(self, by: int) -> None:
        """The cursor to another knob."""
        self.at = (self.at + by) % len(self.knobs)

    def _set(self, knob: Knob, value: float | None) -> bool:
        before = self.now
        if knob.name == _DIRECTION:
            self.now = replace(self.now, direction_index=value)
            return self.now != before
        assert value is not None
        component, _, part = knob.name.rpartition(".")
        kernel, original = self.now.components[component], self.start.components[component]
        if part == "min_weight":
            self._shares[component] = value
        elif part.startswith(_OTHER):
            kernel = replace(kernel, shares=self._others(component, part, value))
        else:
            kernel = replace(kernel, **{part: value})  # type: ignore[arg-type]
        kernel = replace(kernel, min_weight=self._shares[component] * kernel.max_weight)
        if _near(kernel, original):
            kernel = original
        self.now = replace(self.now, components={**self.now.components, component: kernel})
        return self.now != before

    def _others(self, component: str, part: str, value: float) -> tuple[float, ...]:
        """The shares of a component's further directions, one of them turned."""
        kernel = self.now.components[component]
        count = sum(knob.name.startswith(f"{component}.{_OTHER}") for knob in self.knobs)
        shares = list(kernel.shares or (1.0,) * count)
        shares[_place(part)] = value
        return tuple(shares)

    # The engine

    def try_it(self) -> Try:
        """Ask what the edit does as it is now."""
        self.asked = Try(random.getrandbits(31), self.now, tuple(self.pinned))
        self.ended = None
        return self.asked

    def keep_it(self) -> Keep:
        return Keep(random.getrandbits(31), self.now)

    @property
    def open(self) -> bool:
        """Whether the engine has more to say of the edit."""
        return self.asked is not None and self.ended is None

    @property
    def answered(self) -> Sequence[tuple[str, ev.TriedAnswer]]:
        """The prompts with what the latest edit that said anything answered to them."""
        return list(zip(self._answered, self.answers, strict=False))

    def fold(self, event: ev.Event) -> None:
        if self.asked is None or getattr(event, "id", None) != self.asked.id:
            return
        match event:
            case ev.TryAnswers():
                self.answers, self._answered = event.answers, self.asked.prompts
            case ev.TryFigures():
                self.figures = event
            case ev.TryEnded():
                self.ended = event

    def end(self, reason: str) -> None:
        """The engine has ended: it says nothing more."""
        if self.asked and self.ended is None:
            self.ended = ev.TryEnded(id=self.asked.id, reason="failed", error=reason)

    def pin(self, prompt: str) -> bool:
        """Answer a prompt at every turn, or no longer; the oldest makes room. Returns whether it is pinned now."""
        if prompt in self.pinned:
            self.pinned.remove(prompt)
            return False
        self.pinned = [*self.pinned, prompt][-MOST_PINNED:]
        return True


def _share(kernel: Kernel) -> float:
    """The weight at the reach, as a share of the peak's."""
    return kernel.min_weight / kernel.max_weight if kernel.max_weight else 0.0


def _near(one: Kernel, other: Kernel) -> bool:
    """Whether two are the same but for rounding."""
    numbers = zip(_numbers(one), _numbers(other), strict=False)
    return len(one.shares) == len(other.shares) and all(math.isclose(a, b, abs_tol=1e-9) for a, b in numbers)


def _numbers(kernel: Kernel) -> tuple[float, ...]:
    peak, position = kernel.max_weight, kernel.max_weight_position
    return peak, position, kernel.min_weight, kernel.min_weight_distance, *kernel.shares


def _place(part: str) -> int:
    """Of a share among a kernel's shares: the first is that of the second direction."""
    return int(part.removeprefix(_OTHER)) - 2


def _knobs(start: Parameters, ranges: Mapping[str, tuple[float, float]]) -> list[Knob]:
    found = []
    for component in start.components:
        short = component.removesuffix("_proj")
        for part, label, steps in (
            ("max_weight", "strength", _WEIGHT),
            ("max_weight_position", "layer", _LAYERS),
            ("min_weight_distance", "reach", _LAYERS),
            ("min_weight", "at reach", _WEIGHT),
        ):
            name = f"{component}.{part}"
            if name in ranges:
                found.append(Knob(name, f"{short} {label}", *ranges[name], steps))
        for name in ranges:
            if name.startswith(f"{component}.{_OTHER}"):
                label = f"{short} share {_place(name.rpartition('.')[2]) + 2}"
                found.append(Knob(name, label, *ranges[name], _WEIGHT))
    if _DIRECTION in ranges:
        found.append(Knob(_DIRECTION, "direction", *ranges[_DIRECTION], (0.1, 1.0)))
    return found

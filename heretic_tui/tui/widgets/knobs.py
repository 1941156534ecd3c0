"""The knobs of an edit: a line each with its value and where it stands between its bounds, turned with arrow keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.widgets import Static

from heretic_tui.tui.glyphs import Glyphs
from heretic_tui.tui.themes import Looks, looks
from heretic_tui.tui.tweak import Knob, Tweak

_LABEL, _VALUE = 19, 9
# What a number is typed with; a comma stands for the point.
_TYPED = frozenset("0123456789.,-")


class Knobs(Static, can_focus=True):
    """Shows the knobs of a Tweak, and turns them; or takes a number that is typed for one."""

    BINDINGS = [
        Binding("up,k", "move(-1)", "Knob up", show=False),
        Binding("down,j", "move(1)", "Knob down", show=False),
        Binding("left,h", "turn_knob(-1)", "Turn", key_display="h l", id="knobs.less", tooltip="turn the knob down"),
        Binding("right,l", "turn_knob(1)", "Turn up", show=False, id="knobs.more", tooltip="turn the knob up"),
        Binding("shift+left,H", "far(-1)", "Turn far", show=False, id="knobs.far-less", tooltip="turn it down far"),
        Binding("shift+right,L", "far(1)", "Turn far up", show=False, id="knobs.far-more", tooltip="turn it up far"),
        Binding("enter", "type", "Type", id="knobs.type", tooltip="type the knob's number"),
        Binding("enter", "put", "Set", id="knobs.put", tooltip="set the knob to the number that was typed"),
        Binding("escape", "as_it_was", "As it was", id="knobs.leave", tooltip="leave the knob as it was"),
        Binding("backspace", "reset", "As the trial", id="knobs.reset", tooltip="put the knob where the trial has it"),
        Binding("0,delete", "reset_all", "All back", show=False, id="knobs.reset-all", tooltip="all knobs back"),
        Binding("d", "own_directions", "Direction", id="knobs.direction", tooltip="one direction, or each layer's own"),
    ]

    class Turned(Message):
        """The edit is another one."""

    @dataclass
    class Refused(Message):
        """What was typed cannot be, and why."""

        reason: str

    def __init__(self, **options: Any) -> None:
        super().__init__("", markup=False, **options)
        self._tweak: Tweak | None = None
        self._glyphs = Glyphs()
        # What is being typed for the knob under the cursor; None: nothing.
        self._typed: str | None = None
        self._shown: Text | None = None

    def show(self, tweak: Tweak | None, glyphs: Glyphs) -> None:
        if tweak is not self._tweak:
            self._typed = None
        self._tweak, self._glyphs = tweak, glyphs
        lines = len(tweak.knobs) if tweak else 1
        if self.styles.height is None or self.styles.height.value != lines:
            self.styles.height = lines
        text = self._text()
        if self._shown is None or text != self._shown or text.spans != self._shown.spans:
            self._shown = text
            self.update(text, layout=False)

    def on_focus(self) -> None:
        self.show(self._tweak, self._glyphs)

    def on_blur(self) -> None:
        self._type(None)

    def on_resize(self) -> None:
        self.show(self._tweak, self._glyphs)

    def _text(self) -> Text:
        text = Text(no_wrap=True, overflow="crop")
        if self._tweak is None:
            return text
        look = looks(self)
        for place, knob in enumerate(self._tweak.knobs):
            chosen = place == self._tweak.at
            typed = self._typed if chosen else None
            text.append(f"{self._glyphs.closed if chosen else ' '} ", f"bold {look.focus}")
            line = self._line(self._tweak, knob, look) if typed is None else self._typing(knob, typed, look)
            if chosen and self.has_focus:
                line.stylize("bold reverse", 0, _LABEL + _VALUE - 2)
            text.append_text(line)
            if place < len(self._tweak.knobs) - 1:
                text.append("\n")
        return text

    def _line(self, tweak: Tweak, knob: Knob, look: Looks) -> Text:
        value, start = tweak.value(knob), tweak.value(knob, tweak.start)
        changed = value != start
        said = "per layer" if value is None else f"L{value:.1f}" if knob.name == "direction_index" else f"{value:.2f}"
        text = Text(f"{knob.label:{_LABEL - 2}.{_LABEL - 2}}", look.ink)
        text.append(f"{said:>{_VALUE}} ", f"bold {look.busy}" if changed else look.ink)
        text.append(self._glyphs.changed if changed else " ", look.busy)
        width = self.size.width - _LABEL - _VALUE - 6
        if width < 5 or value is None or knob.high <= knob.low:
            return text
        at = round((width - 1) * (value - knob.low) / (knob.high - knob.low))
        at = min(max(at, 0), width - 1)
        across = self._glyphs.across
        text.append(f" {across * at}", look.dim)
        text.append(self._glyphs.full, look.focus if changed else look.link)
        return text.append(across * (width - 1 - at), look.dim)

    def _typing(self, knob: Knob, typed: str, look: Looks) -> Text:
        """The line of a knob while its number is typed: what was typed, and between which it can be."""
        text = Text(f"{knob.label:{_LABEL - 2}.{_LABEL - 2}}", look.ink)
        text.append(f"{typed + self._glyphs.cursor:>{_VALUE}} ", f"bold {look.busy}")
        return text.append(f"  {knob.low:g} to {knob.high:g}", look.dim)

    def on_key(self, event: events.Key) -> None:
        """While a number is typed no key but those that end it has another meaning."""
        if self._typed is None or event.key in ("enter", "escape"):
            return
        event.stop()
        event.prevent_default()
        if event.key == "backspace":
            self._typed = self._typed[:-1]
        elif (character := event.character) and character in _TYPED and len(self._typed) < _VALUE - 1:
            self._typed += character
        self.show(self._tweak, self._glyphs)

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """The line of keys leaves out what is typed."""
        return self._typed is not None and character is not None and character.isprintable()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return (action in ("put", "as_it_was")) == (self._typed is not None)

    def action_type(self) -> None:
        self._type("" if self._tweak else None)

    def action_put(self) -> None:
        if self._tweak is None or self._typed is None:
            return
        if problem := self._tweak.put(self._typed):
            self.post_message(self.Refused(problem))
        else:
            self._type(None)
            self.post_message(self.Turned())

    def action_as_it_was(self) -> None:
        self._type(None)

    def _type(self, typed: str | None) -> None:
        """Begin or end to type."""
        self._typed = typed
        self.show(self._tweak, self._glyphs)
        self.refresh_bindings()

    def action_move(self, by: int) -> None:
        if self._tweak:
            self._tweak.move(by)
            self.show(self._tweak, self._glyphs)

    def action_turn_knob(self, by: int) -> None:
        self._changed(self._tweak is not None and self._tweak.turn(by))

    def action_far(self, by: int) -> None:
        self._changed(self._tweak is not None and self._tweak.turn(by, far=True))

    def action_reset(self) -> None:
        self._changed(self._tweak is not None and self._tweak.reset())

    def action_reset_all(self) -> None:
        self._changed(self._tweak is not None and self._tweak.reset_all())

    def action_own_directions(self) -> None:
        self._changed(self._tweak is not None and self._tweak.own_directions())

    def _changed(self, changed: bool) -> None:
        if changed:
            # At once, and not at the next tick: the hand is on it.
            self.show(self._tweak, self._glyphs)
            self.post_message(self.Turned())

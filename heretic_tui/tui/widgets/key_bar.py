"""The line of keys at the bottom: one line, whatever the width; what does not fit is in the help."""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.dom import DOMNode
from textual.widgets import Static

from heretic_tui.tui.keys import key_of, said_by, words_of

# These come last, and stay when there is no room for the others.
_LAST = ("go_on", "help", "quit")


class KeyBar(Static):
    """Shows the bindings of the visible screen that have `show`; a click does what the key does.

    Textual's Footer mounts a widget a key, again at every change of the focus.
    """

    def __init__(self) -> None:
        super().__init__("", markup=False, id="key-bar")
        self._places: list[tuple[int, int, Binding, DOMNode]] = []
        self._shown = ""

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda screen: self.call_after_refresh(self.show))
        self.call_after_refresh(self.show)

    def on_resize(self) -> None:
        self.show()

    def show(self) -> None:
        """Paint the keys that work now, as far as they fit."""
        # Beneath a dialog none of them does; they stay as they were.
        if not self.is_attached or self.size.width == 0 or self.app.screen is not self.screen:
            return
        # By action: of two keys that do the same the shorter is shown, such as q before ctrl+q.
        shown: dict[str, tuple[Binding, DOMNode]] = {}
        for node, binding, enabled, _ in self.screen.active_bindings.values():
            binding = said_by(node, binding)
            if words := getattr(node, "enter", "") if binding.key == "enter" else "":
                binding = replace(binding, description=words, show=True)
            name = "enter" if words else binding.action.partition("(")[0]
            if not all(getattr(asked, "works", _always)(name) for asked in (self.screen, self.app)):
                continue
            known = shown.get(binding.action)
            if binding.show and enabled and (known is None or len(key_of(binding)) < len(key_of(known[0]))):
                shown[binding.action] = binding, node
        first: list[tuple[Binding, DOMNode]] = []
        last: list[tuple[Binding, DOMNode]] = []
        modes: list[tuple[Binding, DOMNode]] = []
        for binding, node in shown.values():
            name = binding.action.partition("(")[0]
            (modes if name == "mode" else last if name in _LAST else first).append((binding, node))
        keys = [((key_of(binding), words_of(binding)), binding, node) for binding, node in first]
        ends = [((key_of(binding), words_of(binding)), binding, node) for binding, node in last]
        # That of a screen which the run in view does not have says why.
        listed = {mode.key for mode in getattr(self.app, "modes", [])}
        numbers = sorted(binding.key for binding, _ in modes if binding.key in listed)
        head = (f"{numbers[0]}-{numbers[-1]}", "screens") if numbers else None
        taken = sum(len(key) + len(text) + 3 for (key, text), _, _ in ends) + (13 if head else 0)
        text = Text(no_wrap=True, overflow="crop")
        self._places = []
        if head:
            text.append(f" {head[0]}", "bold")
            text.append(f" {head[1]} ")
        for (key, words), binding, node in [*keys, *ends]:
            needed = len(key) + len(words) + 3
            if binding.action.partition("(")[0] not in _LAST:
                if taken + needed > self.size.width:
                    continue
                taken += needed
            start = text.cell_len
            text.append(f" {key}", "bold")
            text.append(f" {words} ")
            self._places.append((start, text.cell_len, binding, node))
        if text.plain != self._shown:
            self._shown = text.plain
            self.update(text, layout=False)

    async def on_click(self, event: events.Click) -> None:
        for start, end, binding, node in self._places:
            if start <= event.x < end:
                await self.app.run_action(binding.action, node)


def _always(action: str) -> bool:
    return True

"""The names by which a keymap can give actions other keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from textual.binding import Binding
from textual.dom import DOMNode

from heretic_tui.words import nearest, quoted


def named_actions() -> dict[str, Binding]:
    """Every action of the application, its screens and widgets that has a name, by it; in the order of the names.
    Screens and widgets must have been imported, as tui/app.py does."""
    found: dict[str, Binding] = {}
    for cls in _ours(DOMNode):
        for binding in cls.__dict__.get("BINDINGS", ()):
            if isinstance(binding, Binding) and binding.id:
                found.setdefault(binding.id, binding)
    return dict(sorted(found.items()))


def _ours(cls: type[DOMNode]) -> Iterator[type[DOMNode]]:
    for below in cls.__subclasses__():
        if below.__module__.startswith("heretic_tui"):
            yield below
        yield from _ours(below)


def unknown_action(names: Iterable[str]) -> str | None:
    """What is wrong with the first of these names that no action has; None where each has one."""
    known = named_actions()
    wrong = next((name for name in names if name not in known), None)
    return None if wrong is None else f"the keymap names no action by {quoted(wrong)}{nearest(wrong, known)}"

"""Help and the command palette, made from the keys that the user could press now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from rich.text import Text
from textual.actions import parse
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen

from heretic_tui.tui.keys import key_words
from heretic_tui.tui.widgets.line_table import LineTable


def help_text(app: App[str], screen: Screen[object]) -> Text:
    """What a screen says of itself, and a line for each key."""
    text = Text()
    for paragraph in getattr(screen, "HELP_TEXT", "").strip().split("\n\n"):
        if paragraph:
            text.append(" ".join(paragraph.split()) + "\n\n")
    seen: set[str] = set()
    for binding in _bindings_in_view(app, screen):
        if binding.description and binding.description not in seen:
            seen.add(binding.description)
            keys = binding.key_display or ", ".join(key_words(key) for key in binding.key.split(","))
            text.append(f"{keys:>16}  ", "bold")
            text.append(f"{binding.tooltip or binding.description}\n")
    return text


def palette_commands(app: App[str], screen: Screen[object]) -> Iterator[SystemCommand]:
    """Everything that a key does on a screen, by its name."""
    seen: set[str] = set()
    for binding in _bindings_in_view(app, screen):
        action, title = binding.action, binding.description
        if title and title not in seen and app.check_action(action.partition("(")[0], ()):
            seen.add(title)
            words = binding.tooltip or f"key {binding.key_display or key_words(binding.key)}"
            yield SystemCommand(title, words, _runner(app, screen, action))


def _bindings_in_view(app: App[str], screen: Screen[object]) -> Iterator[Binding]:
    """The keys of the screen, of the widget in focus, and those of the application that lead anywhere now."""
    for node in (screen, app.focused, app):
        for cls in type(node).__mro__:
            # Textual's own keys are left out.
            if node is not None and cls.__module__.startswith("heretic_tui"):
                for binding in cls.__dict__.get("BINDINGS", []):
                    if isinstance(binding, Binding) and (known := _as_it_works(binding, node, app)):
                        yield known


def _as_it_works(binding: Binding, node: DOMNode, app: App[str]) -> Binding | None:
    if binding.key == "enter" and isinstance(node, LineTable):
        # Nothing opens by it in some tables.
        return replace(binding, description=node.enter.capitalize()) if node.enter else None
    if node is app and not app.check_action(*parse(binding.action)[1:]):
        return None
    return binding


def _runner(app: App[str], screen: Screen[object], action: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        for node in (app.focused, screen, app):
            if node is not None and hasattr(node, f"action_{action.partition('(')[0]}"):
                await app.run_action(action, node)
                return

    return run

"""Help and the command palette, made from the keys that the user could press now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from rich.text import Text
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen

from heretic_tui.tui.keys import key_words, said_by
from heretic_tui.tui.themes import looks


def help_text(app: App[str], screen: Screen[object]) -> Text:
    """How to close it, the keys of the screen, what the screen says of itself, and the keys that work everywhere."""
    look = looks(app)
    text = Text.assemble(("esc closes this help.\n", look.dim))
    own, wider = _keys_by_place(app, screen)
    for title, entries in (("This screen", own), ("Everywhere", wider)):
        if not entries:
            continue
        text.append(f"\n{title}\n", f"bold {look.focus}")
        for words, keys in entries.items():
            text.append(f"{', '.join(dict.fromkeys(keys)):>16}  ", f"bold {look.link}")
            text.append(f"{words}\n")
        if title == "This screen":
            text.append_text(_about(screen))
    return text


def _about(screen: Screen[object]) -> Text:
    text = Text()
    for paragraph in getattr(screen, "help_text", "").strip().split("\n\n"):
        if paragraph:
            text.append("\n" + " ".join(paragraph.split()) + "\n")
    return text


def palette_commands(app: App[str], screen: Screen[object]) -> Iterator[SystemCommand]:
    """Everything that a key does now, by a name that says of what."""
    seen: set[str] = set()
    for node, binding in _bindings_in_view(app, screen):
        words = _sentence(binding)
        # What moves a cursor has no object, and nobody looks for it by its name.
        if words not in seen and (binding.tooltip or binding.show):
            seen.add(words)
            scope = getattr(node, "SCOPE", "") if node is screen else ""
            title = f"{scope.capitalize()}: {words}" if scope else words[:1].upper() + words[1:]
            keys = binding.key_display or key_words(binding.key)
            yield SystemCommand(title, f"key {keys}", _runner(app, node, binding.action))


def _sentence(binding: Binding) -> str:
    """What a key does: its tooltip names the object, the description for the line of keys is short."""
    return binding.tooltip or binding.description[:1].lower() + binding.description[1:]


def _keys_by_place(app: App[str], screen: Screen[object]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    own: dict[str, list[str]] = {}
    wider: dict[str, list[str]] = {}
    for node, binding in _bindings_in_view(app, screen):
        place = wider if node is app else own
        place.setdefault(_sentence(binding), []).append(binding.key_display or key_words(binding.key))
    return own, wider


def _bindings_in_view(app: App[str], screen: Screen[object]) -> Iterator[tuple[DOMNode, Binding]]:
    """The keys that lead anywhere now, as the keymap has them: of the screen, of the widget in focus, and of the
    application. Textual's own are left out."""
    found = [
        (node, said_by(node, binding))
        for node, binding, enabled, _ in screen.active_bindings.values()
        if enabled and binding.description and _is_ours(node, binding)
    ]
    order = {id(screen): 0, id(app): 2}
    for node, binding in sorted(found, key=lambda each: order.get(id(each[0]), 1)):
        if binding.key == "enter" and hasattr(node, "enter"):
            # Nothing opens by it in some tables.
            if node.enter:
                yield node, replace(binding, description=node.enter, tooltip="")
        else:
            yield node, binding


def _is_ours(node: DOMNode, binding: Binding) -> bool:
    """Whether a class of ours binds the key."""
    return any(cls.__module__.startswith("heretic_tui") and _binds(cls, binding) for cls in type(node).__mro__)


def _binds(cls: type, binding: Binding) -> bool:
    return any(isinstance(own, Binding) and own.action == binding.action for own in cls.__dict__.get("BINDINGS", ()))


def _runner(app: App[str], node: DOMNode, action: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await app.run_action(action, node)

    return run

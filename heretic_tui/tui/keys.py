"""What keys are called on screen, the vim keys of whatever scrolls, names of actions for a keymap, stepping through a
few choices, and numbers that are typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen

Choice = TypeVar("Choice")

_NAMES = {
    "escape": "esc", "slash": "/", "question_mark": "?", "plus": "+", "number_sign": "#", "comma": ",",
    "full_stop": ".", "backspace": "bksp", "space": "space", "left_square_bracket": "[", "right_square_bracket": "]",
}  # fmt: skip


def key_words(key: str) -> str:
    """A key of Textual's as people know it."""
    return _NAMES.get(key.strip(), key.strip())


def key_of(binding: Binding) -> str:
    """The key of a binding as it is shown."""
    return (binding.key_display or key_words(binding.key)).replace("ctrl+", "^")


def words_of(binding: Binding) -> str:
    """What a binding does, as it stands behind its key."""
    return binding.description[:1].lower() + binding.description[1:]


def named(scope: str, bindings: Iterable[BindingType]) -> list[BindingType]:
    """Bindings with an id each, `SCOPE.DESCRIPTION`, by which the keymap of the interface names them."""
    found: list[BindingType] = []
    for binding in bindings:
        if isinstance(binding, Binding) and not binding.id and binding.description:
            slug = re.sub(r"[^a-z0-9]+", "-", binding.description.lower()).strip("-")
            binding = replace(binding, id=f"{scope}.{slug}")
        found.append(binding)
    return found


def shown_keys(screen: Screen[object], actions: Sequence[str]) -> list[str]:
    """`key words` for each of the actions that leads anywhere now, in their order. An action has its parameters
    where several keys call it with others."""
    by_action: dict[str, str] = {}
    for node, bound, enabled, _ in screen.active_bindings.values():
        binding = said_by(node, bound)
        plain_name = binding.action.partition("(")[0].rpartition(".")[2]
        if not all(getattr(asked, "works", _always)(plain_name) for asked in (screen, screen.app)):
            continue
        for name in (binding.action, plain_name):
            if enabled and name not in by_action:
                by_action[name] = f"{key_of(binding)} {words_of(binding)}"
    return [by_action[name] for name in actions if name in by_action]


def said_by(node: DOMNode, binding: Binding) -> Binding:
    """A binding as the screen that it is of calls what it does now, which may depend on the run."""
    words: Callable[[Binding], Binding] | None = getattr(node, "binding_words", None)
    return words(binding) if words else binding


def _always(action: str) -> bool:
    return True


def scroll_bindings(line: int, page: int) -> list[Binding]:
    """For an action `scroll(lines)`."""
    return [
        Binding("j,down", f"scroll({line})", "Down", show=False),
        Binding("k,up", f"scroll(-{line})", "Up", show=False),
        Binding("ctrl+d,pagedown", f"scroll({page})", "Page down", show=False),
        Binding("ctrl+u,pageup", f"scroll(-{page})", "Page up", show=False),
    ]


def next_choice(choices: Sequence[Choice], now: Choice) -> Choice:
    """The choice that follows, the first after the last."""
    return choices[(choices.index(now) + 1) % len(choices)]


def typed_number(text: str) -> int | None:
    """A whole number of at most six digits, None where another text was typed: superscripts are digits too, and no
    numbers; a thousand nines are a number, and too long to be read."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) <= 6 else None

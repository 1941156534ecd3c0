"""Keys one at a time: the next is looked at when all that the last one did is done, such as opening a dialog, so that
it goes to whatever is on the screen by then. Otherwise keys that come quickly (typed ahead, sent by tmux) would go to
the screen that was shown when they arrived."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.screen import Screen

# A key that something holds up longer than this holds up no others.
_PATIENCE = 1.0


class TypeAhead(App[str]):
    """An application whose keys and pastes wait for each other.

    What a key does is done in the message queues of the widget that has the focus, of those around it, and of the
    application. A callback that is sent the same way after the key arrives when they are through with it. What they
    said to each other meanwhile, such as that a line was submitted, a second round waits for, and further ones while
    screens change. A screen that says that it is not `painted` yet gets no key before it is.

    Attributes:
        last_key: when a key was pressed last, on the monotonic clock.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waiting: deque[events.Key | events.Paste] = deque()
        # The key under way; None when the next may come.
        self._under_way: object = None
        self.last_key = time.monotonic()

    @property
    def keys_wait(self) -> bool:
        """Whether a key is under way, or waits for one that is."""
        return self._under_way is not None or bool(self._waiting)

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
            return
        self.last_key = time.monotonic()
        self._waiting.append(event)
        if self._under_way is None:
            await self._next()
        else:
            self.set_timer(_PATIENCE, partial(self._go_on, self._under_way))

    async def _next(self) -> None:
        if self._waiting:
            self._under_way = event = self._waiting.popleft()
            await super().on_event(event)
            self._send(event, 1)

    def _send(self, key: object, rounds: int) -> None:
        """Start another round, from where keys go now to the application."""
        screen = self.screen
        start: DOMNode = self.focused or screen
        self._pass(key, [*start.ancestors_with_self], partial(self._arrived, key, rounds, screen))

    def _pass(self, key: object, way: list[DOMNode], arrived: Callable[[], object]) -> None:
        """Let a callback through the queues on the way, leaving out those that are closed."""
        for place, node in enumerate(way):
            rest = way[place + 1 :]
            if node.call_later(partial(self._pass, key, rest, arrived) if rest else arrived):
                return

    async def _arrived(self, key: object, rounds: int, screen: Screen[Any]) -> None:
        if rounds < 2 or self.screen is not screen:
            self._send(key, rounds + 1)
        elif not getattr(screen, "painted", True):
            # It paints itself after the same refresh, and asked for that before.
            screen.call_after_refresh(self._send, key, rounds + 1)
        else:
            await self._go_on(key)

    async def _go_on(self, key: object) -> None:
        if self._under_way is key:
            self._under_way = None
            await self._next()

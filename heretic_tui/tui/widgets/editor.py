"""The line in which a setting is edited, with completion of names that a disk or a cache holds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from textual.binding import Binding
from textual.message import Message
from textual.suggester import Suggester

from heretic_tui.tui.widgets.quiet_input import QuietInput


class Completer(Suggester):
    """The first name that begins with what was typed; the right arrow takes it."""

    def __init__(self, find: Callable[[str], list[str]]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._find = find

    async def find(self, typed: str) -> list[str]:
        # Folders may be large, and disks slow.
        return await asyncio.to_thread(self._find, typed) if typed else []

    async def get_suggestion(self, value: str) -> str | None:
        return next(iter(await self.find(value)), None)


class Editor(QuietInput):
    """The line in which a setting is edited. Tab completes where there is something to complete, and leaves the line
    where there is not, as the arrow keys up and down do.

    Attributes:
        instead: what tab takes where nothing begins with what was typed.
    """

    instead: str | None = None

    BINDINGS = [
        Binding("tab", "complete", "Complete", show=False),
        Binding("up", "leave(-1)", "Leave, to the line above", show=False),
        Binding("down", "leave(1)", "Leave, to the line below", show=False),
    ]

    @dataclass
    class Left(Message):
        """The user goes on, to the setting so many lines below."""

        by: int

    @dataclass
    class Offered(Message):
        """There is more than one way to complete what was typed."""

        names: list[str]

    async def action_complete(self) -> None:
        if not isinstance(self.suggester, Completer):
            self.post_message(self.Left(1))
            return
        names = await self.suggester.find(self.value)
        common = os.path.commonprefix(names)  # noqa: RUF071 - characters, as they are typed
        if len(common) > len(self.value):
            self.value = common
            self.action_end()
        elif names and names != [self.value]:
            self.post_message(self.Offered(names))
        elif self.instead:
            self.value = self.instead
            self.action_end()
        elif names:
            self.post_message(self.Left(1))

    def action_leave(self, by: int) -> None:
        self.post_message(self.Left(by))

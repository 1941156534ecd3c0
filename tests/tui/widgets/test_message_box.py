"""The lines in which a message is written."""

from __future__ import annotations

import asyncio

from textual import events
from textual._xterm_parser import XTermParser
from textual.app import App, ComposeResult
from textual.keys import Keys

from heretic_tui.tui.widgets.message_box import MessageBox


def test_alt_and_enter_is_a_new_line_where_a_terminal_sends_it_as_escape_and_return() -> None:
    pressed = [event.key for event in XTermParser().feed("a\x1b\rb") if isinstance(event, events.Key)]
    assert pressed == ["a", Keys.ControlJ.value, "b"]

    class Host(App[None]):
        def __init__(self) -> None:
            super().__init__()
            self.sent: list[str] = []

        def compose(self) -> ComposeResult:
            yield MessageBox("write")

        def on_message_box_submitted(self, event: MessageBox.Submitted) -> None:
            self.sent.append(event.box.text)

    async def use() -> None:
        app = Host()
        async with app.run_test() as pilot:
            app.query_one(MessageBox).focus()
            await pilot.press(*pressed)
            assert app.query_one(MessageBox).text == "a\nb"
            assert not app.sent
            await pilot.press("enter")
            assert app.sent == ["a\nb"]

    asyncio.run(use())

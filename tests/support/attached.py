"""A run that can be attached to, without an engine: its folder, its journal, its control and the server."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.control import Control
from heretic_tui.run.attach.client import Attachment
from heretic_tui.run.attach.server import AttachServer
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Journal

PATIENCE = 60


class ServedRun:
    """What a session does for its server, by hand.

    Attributes:
        said: what the server told of who has control.
    """

    def __init__(self, path: Path, uid: int | None = None, away: float = 600.0) -> None:
        self.folder = RunFolder(path)
        self.folder.create()
        self.folder.lock()
        self.journal = Journal(self.folder.events)
        self.control = Control()
        self.said: list[str] = []
        records = lambda: self.journal.records  # noqa: E731
        self.server = AttachServer(self.folder, self.control, records, uid, self.said.append, away)
        self.control.tell = self.server.hear

    def tell(self, *events: ev.Event) -> None:
        """As a session does: the journal first."""
        for event in events:
            if event.kept:
                self.journal.append(event)
            self.server.hear(event)

    def close(self) -> None:
        self.server.close()
        self.journal.close()
        self.folder.unlock()


@contextmanager
def served(path: Path, uid: int | None = None, away: float = 600.0) -> Iterator[ServedRun]:
    run = ServedRun(path, uid, away)
    try:
        run.server.start()
        yield run
    finally:
        run.close()


class Screen:
    """A terminal that is attached, and looks again and again as a screen does.

    Attributes:
        events: all that came.
        news: the kinds of what was told of who has control, and the texts.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.attachment = Attachment(folder)
        self.control = self.attachment.control
        self.events: list[ev.Event] = []
        self.news: list[str] = []
        self.texts: list[str] = []

    def look(self) -> None:
        self.events += self.attachment.take()
        for news in self.attachment.take_news():
            self.news.append(news.kind)
            self.texts.append(news.text)

    def until(self, wanted: Callable[[], object]) -> None:
        until(wanted, self.look)

    def take_control(self, over: bool = False) -> None:
        """Until it has it, or was told that it has not."""
        before = len(self.news)
        self.attachment.take_control(over)
        self.until(lambda: {"gained", "held", "ended"} & {*self.news[before:]})


def until(wanted: Callable[[], object], look: Callable[[], None] = lambda: None) -> None:
    """Look until it is as wanted."""
    end = time.monotonic() + PATIENCE
    while not wanted():
        assert time.monotonic() < end, "it did not come to that"
        look()
        select.select([], [], [], 0.005)

"""Hosts of the runs that another process works on, or none: one is attached to, the other only read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from heretic_tui import events as ev
from heretic_tui.control import Requests
from heretic_tui.errors import UsageError
from heretic_tui.run.attach.client import Attachment, ControlNews
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Tail

if TYPE_CHECKING:
    from heretic_tui.settings.schema import Settings


class OtherProcess:
    """What the hosts of a run have in common that another process works on, or none."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder: RunFolder | None = folder
        self.settings: Settings | None = None
        self._folder = folder

    @property
    def alive(self) -> bool:
        return self._folder.holder() is not None

    @property
    def here(self) -> bool:
        return False

    def join(self, timeout: float | None = None) -> None:
        pass


class FollowHost(OtherProcess):
    """A run folder that another process writes, or wrote: read only, from any number of terminals."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(folder)
        self._tail = Tail(folder.events)

    def start(self) -> None:
        pass

    def take(self) -> list[ev.Event]:
        return self._tail.take()

    @property
    def control(self) -> Requests | None:
        return None

    @property
    def controller(self) -> str | None:
        return None

    @property
    def attached(self) -> bool:
        return False

    def take_control(self, over: bool) -> None:
        raise UsageError("this screen only watches the run: `heretic-tui attach` controls it")

    def take_news(self) -> Sequence[ControlNews]:
        return ()

    def leave(self) -> None:
        pass


class AttachHost(OtherProcess):
    """A run that another process works on, controlled from this terminal, or watched where another one controls it.

    Raises:
        UsageError: when the run cannot be attached to.
    """

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(folder)
        self._attachment = Attachment(folder)

    def start(self) -> None:
        self._attachment.take_control(over=False)

    def take(self) -> list[ev.Event]:
        return self._attachment.take()

    @property
    def control(self) -> Requests | None:
        return self._attachment.control if self._attachment.yours else None

    @property
    def controller(self) -> str | None:
        return self._attachment.controller

    @property
    def attached(self) -> bool:
        return True

    def take_control(self, over: bool) -> None:
        self._attachment.take_control(over)

    def take_news(self) -> Sequence[ControlNews]:
        return self._attachment.take_news()

    def leave(self) -> None:
        self._attachment.leave()

    def farewell(self) -> str | None:
        """What the terminal is told when the screen is left: what becomes of the run, or became of it where it was
        asked to stop; None where it was over."""
        name, called = self._folder.name, self._folder.called
        asked = self._attachment.control.requested
        if not self.alive:
            stopped = asked in ("stopping", "aborting")
            return f"{name} has stopped: `heretic-tui show {called}` says what it found" if stopped else None
        if self._attachment.ends_alone:
            return f"{name} has done its trials, and its process ends: `heretic-tui follow {called}` shows the run"
        becomes = {"stopping": "stops after the trial", "aborting": "is being stopped"}.get(asked, "goes on")
        return f"{name} {becomes}: `heretic-tui attach {called}` controls it again"

"""Which runs are open: the one in view, and the one at work in this process while another is looked at."""

from __future__ import annotations

from collections.abc import Callable

from heretic_tui.run.folder import RunFolder
from heretic_tui.tui.host import AttachHost, FollowHost, Host
from heretic_tui.tui.run_view import RunView


class OpenRuns:
    """One run is in view. One that is at work here, or that this terminal is attached to, goes on while another
    is looked at; its events wait in its host.

    Args:
        new_view: makes a view of a host, or of no run.
    """

    def __init__(self, new_view: Callable[[Host | None], RunView]) -> None:
        self._new_view = new_view
        self.view = new_view(None)
        self._left: RunView | None = None
        self._end_told = False

    @property
    def at_work(self) -> Host | None:
        """The host of the run whose engine is at work in this process, whether it is the one in view or not."""
        view = self._left or self.view
        return view.host if view.at_work else None

    def show(self, host: Host) -> None:
        """Start a run, and have it in view from its first event on."""
        if self._left and self._left.host:
            self._left.host.leave()
        self._left = None
        self._open(host)

    def is_here(self, folder: RunFolder) -> bool:
        """Whether a folder is that of the run which is at work here or attached to, or was when it was left."""
        if self._left:
            return self._left.is_of(folder)
        return self.view.attached and self.view.is_of(folder)

    def look_at(self, host: FollowHost | AttachHost) -> RunView | None:
        """Have another process's run in view. Returns the run that was left for it and goes on meanwhile."""
        left = self.view if self._left is None and self.view.attached and not self.view.is_of(host.folder) else None
        if left:
            self._left, self._end_told = left, False
        self._open(host)
        return left

    def come_back(self) -> bool:
        """Have the run in view again that was left, as it was then: what happened since comes with its next `take`.
        Returns whether there was one."""
        if self._left is None:
            return False
        if self.view.host:
            self.view.host.leave()
        self.view, self._left = self._left, None
        return True

    def left_has_ended(self) -> bool:
        """Whether the run that was left has ended; true once."""
        ended = self._left is not None and not self._end_told and not self._left.attached
        self._end_told |= ended
        return ended

    def _open(self, host: Host) -> None:
        if self.view.host and self.view is not self._left:
            self.view.host.leave()
        self.view = self._new_view(host)
        self.view.start()

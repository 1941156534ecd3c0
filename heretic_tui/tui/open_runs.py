"""Which runs are open: the one in view, and those at work here or attached to while another is looked at."""

from __future__ import annotations

from collections.abc import Callable

from heretic_tui.run.folder import RunFolder
from heretic_tui.tui.host import Host
from heretic_tui.tui.other_process import AttachHost, FollowHost
from heretic_tui.tui.run_view import RunView


class OpenRuns:
    """One run is in view. One that is at work here, and those that this terminal is attached to, go on while another is
    looked at; their events wait in their hosts.

    Args:
        new_view: makes a view of a host, or of no run.
    """

    def __init__(self, new_view: Callable[[Host | None], RunView]) -> None:
        self._new_view = new_view
        self.view = new_view(None)
        # Those that were left for another, the latest last.
        self._left: list[RunView] = []
        self._ends_told: list[RunView] = []

    @property
    def at_work(self) -> Host | None:
        """The host of the run whose engine is at work in this process, whether it is the one in view or not."""
        return next((view.host for view in (self.view, *self._left) if view.at_work), None)

    def show(self, host: Host) -> None:
        """Start a run, and have it in view from its first event on."""
        self._put_aside()
        self._left = [view for view in self._left if view.attached]
        self._open(host)

    @property
    def here(self) -> Host | None:
        """The host of the run of this process: the one at work, or else the one that ended last of those that are
        open."""
        ended = (view.host for view in (self.view, *reversed(self._left)) if view.host and view.host.here)
        return self.at_work or next(ended, None)

    def begin_aside(self, host: Host) -> None:
        """Start a run, and have in view what is: it waits among those that were left for another."""
        self._left = [view for view in self._left if view.attached]
        view = self._new_view(host)
        self._left.append(view)
        view.start()

    def look_at(self, host: FollowHost | AttachHost) -> RunView | None:
        """Have another process's run in view. Returns the run that was left for it and goes on meanwhile."""
        left = self._put_aside()
        self._open(host)
        return left

    def return_to(self, folder: RunFolder) -> bool:
        """Have the run of a folder in view again, as it was when it was left: what happened since comes with its next
        `take`. Returns whether it is open: at work here, or attached to, now or when it was left."""
        if self.view.attached and self.view.is_of(folder):
            return True
        return self._return(next((view for view in self._left if view.is_of(folder)), None))

    def come_back(self) -> bool:
        """Have the run in view again that is at work here; where none is, the latest that was left, unless the one in
        view is attached to. Returns whether there was one."""
        if self.view.at_work:
            return False
        here = next((view for view in self._left if view.at_work), None)
        if here is None and not self.view.attached and self._left:
            here = self._left[-1]
        return self._return(here)

    def left_has_ended(self) -> bool:
        """Whether a run that was left has ended; true once for each."""
        ended = [view for view in self._left if not view.attached and view not in self._ends_told]
        self._ends_told += ended
        return bool(ended)

    def _return(self, view: RunView | None) -> bool:
        if view is None:
            return False
        self._left.remove(view)
        self._put_aside()
        self.view = view
        return True

    def _put_aside(self) -> RunView | None:
        """Keep the run in view where it can be controlled from here, and leave it where it cannot."""
        if self.view.attached:
            self._left.append(self.view)
            return self.view
        if self.view.host:
            self.view.host.leave()
        return None

    def _open(self, host: Host) -> None:
        self.view = self._new_view(host)
        self.view.start()

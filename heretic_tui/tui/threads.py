"""Work of a screen that would hold it up, on a thread: files may be large, and disks slow."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from textual.dom import DOMNode

log = logging.getLogger(__name__)


def on_thread(node: DOMNode, work: Callable[[], None], group: str, *, exclusive: bool = True) -> None:
    """Do it on a thread, as long as a widget or a screen is there. What fails of it is in the log.

    Args:
        group: what it belongs to.
        exclusive: whether it takes the place of what the group had begun.
    """

    def run() -> None:
        # Short turns for Python code: the screen answers meanwhile.
        sys.setswitchinterval(0.001)
        try:
            work()
        except Exception:
            log.exception("work for the screen failed: %s", group)
            raise

    node.run_worker(run, thread=True, exclusive=exclusive, exit_on_error=False, group=group)

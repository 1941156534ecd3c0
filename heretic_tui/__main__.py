"""`python -m heretic_tui` and the command `heretic-tui`."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    # Before the command sets its own handlers, and after it has ended, ctrl-c ends the process at once: an interpreter
    # that starts or ends would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from heretic_tui.cli.main import run_command

    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()

"""`python -m heretic_tui` and the command `heretic-tui`."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    # Until the command says what ctrl-c means, and again when it has ended, the process just goes: an interpreter that
    # starts, or ends, answers with a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from heretic_tui.cli.main import run_command

    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()

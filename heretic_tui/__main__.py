"""`python -m heretic_tui` and the command `heretic-tui`."""

from __future__ import annotations

import sys


def main() -> None:
    from heretic_tui.cli import run_command

    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()

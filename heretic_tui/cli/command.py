"""What a command of the program is: its name and help, what it takes, and the function that does it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Container
from dataclasses import dataclass

from heretic_tui.terminal import Streams


class _Every:
    """Holds every name."""

    def __contains__(self, name: object) -> bool:
        return True


# Which settings a command takes as flags: every one, or that of the folder that the runs lie in.
EVERY_SETTING: Container[str] = _Every()
RUNS_DIR: Container[str] = ("runs_dir",)


@dataclass(frozen=True)
class Subcommand:
    """One command.

    Attributes:
        name: what is typed.
        summary: what it does, as `--help` says it.
        settings: the settings that it takes as flags.
        add_arguments: adds the rest of what it takes.
        run: does it, and returns the exit status. What it needs is imported there, so that `--help` stays quick.
        usage: the arguments that have no flag, or a required one.
        only_prints: it is of no use where standard output is closed.
    """

    name: str
    summary: str
    settings: Container[str]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Streams], int]
    usage: str = ""
    only_prints: bool = False

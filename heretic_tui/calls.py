"""How a person who looks elsewhere wants to be called, and what makes a terminal call: its bell, and the notices of the
desktop that some terminals show (OSC 9, OSC 777); through tmux and screen where these let them pass."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from heretic_tui.words import plain

# What can happen that a person may want to be called for: the search has ended, the run has failed, it was stopped
# before all trials were done, its front stands still, an export has ended, the queue has been worked off.
HAPPENINGS = ("done", "failed", "stopped", "stalled", "exported", "queue")

# Which notice of the desktop is sent: the one that the terminal is likely to know, or one of the two.
Osc: TypeAlias = Literal["auto", "9", "777", "off"]


@dataclass(frozen=True, kw_only=True)
class Calls:
    """How a person wants to be called.

    Attributes:
        bell: ring the terminal's bell.
        osc: the notice of the desktop that the terminal is asked for.
        command: run at each call; a text is for `sh -c`, a list is a program with its arguments. None: nothing is run.
        on: for which of HAPPENINGS. Who stops a run knows of it.
    """

    bell: bool = True
    osc: Osc = "auto"
    command: str | Sequence[str] | None = None
    on: Collection[str] = frozenset(HAPPENINGS) - {"stopped"}


BELL = "\x07"
TITLE = "heretic-tui"
_LONGEST = 200
# Terminals that know OSC 777 and not OSC 9, by how TERM begins.
_KNOW_777 = ("rxvt", "foot")
_PATIENCE = 2.0


def terminal_notice(
    text: str, bell: bool, osc: Osc, environment: Mapping[str, str] = os.environ, passes: bool | None = None
) -> str:
    """The characters that make a terminal call a person; empty where it is to do nothing.

    Args:
        text: what the notice says, in one line.
        environment: what tells which terminal it is (TERM, TMUX, STY).
        passes: whether tmux lets sequences for the terminal outside pass; None: it is asked, which may take seconds
            where it hangs.
    """
    notice = "" if osc == "off" else _notice(text, osc, environment)
    if notice and environment.get("TMUX"):
        if passes is None:
            passes = tmux_passes(environment)
        # Where tmux keeps it, the bell takes its place: tmux hands that on, and marks the window.
        bell, notice = bell or not passes, f"\x1bPtmux;{notice.replace(chr(27), chr(27) * 2)}\x1b\\" if passes else ""
    elif notice and environment.get("STY"):
        notice = f"\x1bP{notice}\x1b\\"
    return notice + BELL * bell


def _notice(text: str, osc: Osc, environment: Mapping[str, str]) -> str:
    # A semicolon ends the title of a 777, and a number with one is a command of some terminals in a 9.
    said = plain(text).replace(";", ",").strip()[:_LONGEST]
    if osc == "auto":
        osc = "777" if environment.get("TERM", "").startswith(_KNOW_777) else "9"
    # Ended by ST, not by the bell: a terminal that knows neither would ring.
    return f"\x1b]777;notify;{TITLE};{said}\x1b\\" if osc == "777" else f"\x1b]9;{TITLE}: {said}\x1b\\"


def tmux_passes(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether tmux hands on what is wrapped for the terminal around it (its option allow-passthrough)."""
    pane = environment.get("TMUX_PANE")
    command = ["tmux", "show-options", "-Apqv", *(["-t", pane] if pane else []), "allow-passthrough"]
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    return done.stdout.strip() in (b"on", b"all")

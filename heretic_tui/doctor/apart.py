"""Something tried out in a process of its own: what ends that process, or keeps it for ever, is only a finding."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping

from heretic_tui.errors import HereticError


class Failed(HereticError):
    """The process ended without an answer; why, in one line."""


def ask(module: str, seconds: float) -> Mapping[str, object]:
    """The JSON that a module prints when it is run.

    Raises:
        Failed: where it prints none, or takes longer than it may.
    """
    command = [sys.executable, "-m", module]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"no answer within {seconds:.0f} s") from error
    if done.returncode < 0:
        raise Failed(f"the process was ended by {signal.Signals(-done.returncode).name}")
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise Failed(said[-1].strip()[:300] if said else f"the process ended with {done.returncode}")
    # Libraries print, too: the answer comes last.
    found: Mapping[str, object] = json.loads(lines[-1])
    return found

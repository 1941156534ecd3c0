"""The terminal: whether the screen can be shown in it, its colours, and what of it gets through tmux."""

from __future__ import annotations

import locale
import os
import subprocess
from collections.abc import Mapping

from heretic_tui.doctor.probe import Finding

_PATIENCE = 2.0
# Escape is waited for so long before it is taken as a key.
_QUICK = 50
_LEAST = 60, 16
_CONF = "~/.tmux.conf"


def look_at_terminal() -> list[Finding]:
    """The terminal that this process has."""
    encoding = locale.getpreferredencoding(False)
    try:
        size = os.get_terminal_size(1) if os.isatty(0) and os.isatty(1) else None
    except OSError:
        size = None
    return terminal_findings(os.environ, size, encoding)


def terminal_findings(environment: Mapping[str, str], size: tuple[int, int] | None, encoding: str) -> list[Finding]:
    """What follows from what a process is told of its terminal.

    Args:
        size: columns and lines; None where there is no terminal.
        encoding: that of the locale.
    """
    term = environment.get("TERM", "")
    if size is None:
        said = "none here: run, follow --lines and show print lines"
        return [Finding(name="terminal", state="ok", said=said)]
    if term in ("", "dumb"):
        said = f"TERM is {term or 'not set'}: no screen can be drawn"
        return [Finding(name="terminal", state="note", said=said, todo="set TERM, or use heretic-tui run")]
    said = f"{size[0]}x{size[1]}, {_colours(environment, term)}"
    found = [Finding(name="terminal", state="ok", said=said)]
    if size[0] < _LEAST[0] or size[1] < _LEAST[1]:
        todo = f"make it {_LEAST[0]}x{_LEAST[1]} at least: four lines alone are shown"
        found = [Finding(name="terminal", state="note", said=said, todo=todo)]
    if encoding.lower().replace("-", "") != "utf8":
        todo = "LANG=C.UTF-8, or --ascii"
        found.append(Finding(name="characters", state="note", said=f"the locale is {encoding}", todo=todo))
    if environment.get("SSH_CONNECTION") and not (environment.get("TMUX") or environment.get("STY")):
        said = "the terminal is far away, and not in tmux: a run goes on if the line drops"
        found.append(Finding(name="connection", state="ok", said=said, todo="heretic-tui attach shows it again"))
    if not environment.get("TMUX"):
        said = "OSC 52, which most terminals take; else clipboard.txt in the run folder has what was copied"
        found.append(Finding(name="clipboard", state="ok", said=said))
    return found


def _colours(environment: Mapping[str, str], term: str) -> str:
    if environment.get("NO_COLOR"):
        return "no colours (NO_COLOR is set)"
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return "16 million colours"
    return "256 colours" if "256color" in term or term in ("xterm-kitty", "xterm-ghostty") else "16 colours"


def look_at_tmux() -> list[Finding]:
    """The settings of the tmux around this process."""
    if not os.environ.get("TMUX"):
        return []
    return tmux_findings(tmux_options(os.environ), os.environ)


def tmux_options(environment: Mapping[str, str]) -> dict[str, str]:
    """What the settings of a tmux are that matter here, and its version and what the terminal around it can do, as it
    knows.

    Raises:
        OSError, subprocess.SubprocessError: where it does not answer.
    """
    asked = ("#{version}", "#{client_termfeatures}")
    version, features = _tmux(environment, "display-message", "-p", "\t".join(asked)).split("\t")
    options = {"version": version, "features": features}
    for kind, name in (
        ("-sqv", "set-clipboard"),
        ("-sqv", "escape-time"),
        ("-gqv", "focus-events"),
        ("-gwqv", "allow-passthrough"),
    ):
        options[name] = _tmux(environment, "show-options", kind, name)
    return options


def _tmux(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        ["tmux", *arguments],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=True,
    )
    return done.stdout.rstrip("\n")


def tmux_findings(options: Mapping[str, str], environment: Mapping[str, str]) -> list[Finding]:
    """What tmux keeps from the program, with the lines that let it through."""
    quick = options["escape-time"].isdigit() and int(options["escape-time"]) <= _QUICK
    full = "RGB" in options["features"] or environment.get("COLORTERM", "").lower() in ("truecolor", "24bit")
    wanted = [
        (quick, "escape key", f"waits {options['escape-time']} ms", "set -s escape-time 10"),
        (options["focus-events"] == "on", "focus", "is not told to the program", "set -g focus-events on"),
        # What is copied here is handed to tmux too, which passes it on unless that is off.
        (options["set-clipboard"] != "off", "clipboard", "what is copied stays in tmux", "set -s set-clipboard on"),
        (full, "colours", "256 of them", "set -as terminal-features ',*:RGB'"),
        (
            options["allow-passthrough"] in ("on", "all"),
            "notices",
            "those of the desktop are dropped, the bell is rung",
            "set -g allow-passthrough on",
        ),
    ]
    lacking = [each for each in wanted if not each[0]]
    if not lacking:
        return [Finding(name="tmux", state="ok", said=f"{options['version']}, lets everything through")]
    return [
        Finding(name=f"tmux {name}", state="note", said=said, todo=f"add to {_CONF}: {line}")
        for _, name, said, line in lacking
    ]

"""What Setup says a run will take before it starts: memory, disk, time, network; and what is to be fixed."""

from __future__ import annotations

import textwrap

from rich.text import Text

from heretic_tui.settings.interface import Notify
from heretic_tui.tui.glyphs import Glyphs
from heretic_tui.tui.outlook import Outlook, to_fix_words
from heretic_tui.tui.plan_words import (
    NOT_KNOWN,
    disk_words,
    download_words,
    gpus_words,
    memory_words,
    model_words,
    time_words,
    workers_words,
)
from heretic_tui.tui.themes import Looks
from heretic_tui.words import plain

# Columns of the names at the left.
_NAMES = 9
# A pane that has no size yet is not painted; text is broken somewhere all the same.
_LEAST = 20


def before_words(
    outlook: Outlook, notify: Notify, glyphs: Glyphs, look: Looks, timed: bool, width: int, probed: int | None = None
) -> Text:
    """What is known of the run before it starts, and the one line of what is to be fixed.

    Args:
        timed: whether what depends on the machine is shown.
        width: cells of a line.
        probed: percent of the probe of the time that is under way; None where none is.
    """
    text = Text()
    if words := to_fix_words(outlook):
        text.append(_hanging(f"{glyphs.failed} {words}", width, 2), f"bold {look.bad}")
    elif outlook.complete:
        more = " What lies on the Hub is checked then." if outlook.download else ""
        text.append(_hanging(f"{glyphs.done} Nothing to fix: ctrl+s starts.{more}", width, 2), f"bold {look.good}")
    else:
        text.append(f"{glyphs.ellipsis[:1]} Looking at the files.\n", look.busy)
    text.append("\n")
    lines = (
        ("model", model_words(outlook)),
        ("edits", _edits(outlook)),
        ("workers", workers_words(outlook) if timed else ""),
        ("memory", _memory(outlook, glyphs) if timed else NOT_KNOWN),
        ("GPUs", gpus_words(outlook) if timed else NOT_KNOWN),
        ("disk", disk_words(outlook, timed)),
        ("time", time_words(outlook, "t measures it") if probed is None else f"is measured, {probed} % (t drops it)"),
        ("network", _network(outlook, glyphs)),
        ("notify", _notify(notify)),
    )
    for name, line in lines:
        if not line:
            continue
        text.append(f"{name:<{_NAMES}}", look.dim)
        text.append(_hanging(line, width, _NAMES))
    for note in outlook.notes:
        text.append("\n! ", look.busy)
        text.append(_hanging(note, width, 2))
    return text


def _hanging(words: str, width: int, indent: int) -> str:
    """A sentence in lines, all but the first with so many blanks before them."""
    room = max(_LEAST, width - indent)
    lines = [line for part in words.split("\n") for line in textwrap.wrap(plain(part), room) or [""]]
    return f"\n{' ' * indent}".join(lines) + "\n"


def _edits(outlook: Outlook) -> str:
    found = outlook.model
    return f"{found.edited} of {found.found} matrices  (i lists them)" if found and not found.problem else "not known"


def _memory(outlook: Outlook, glyphs: Glyphs) -> str:
    words, fits = memory_words(outlook)
    return words if fits is None else f"{words} {glyphs.done if fits else glyphs.failed}"


def _network(outlook: Outlook, glyphs: Glyphs) -> str:
    return download_words(outlook) or f"nothing to download {glyphs.done}"


def _notify(notify: Notify) -> str:
    ways = ["bell"] * notify.bell + [f"OSC {notify.osc}"] * (notify.osc != "off") + ["command"] * bool(notify.command)
    return f"{' + '.join(ways)} on {', '.join(notify.on)}" if ways and notify.on else "off"

"""What Home shows of this machine, as text: GPUs, host, disk, and how a person is called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.text import Text

from heretic_tui.calls import Calls
from heretic_tui.machine import HISTORY, STEP, Gpu, MachineSample
from heretic_tui.tui.glyphs import ASCII, Glyphs
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.widgets.braille import ACROSS, DOWN, Dots
from heretic_tui.tui.widgets.charts import gauge
from heretic_tui.words import duration, plain, size_words

_BAR = 10


def machine_words(
    sample: MachineSample | None,
    history: Sequence[MachineSample],
    free: int | None,
    calls: Calls,
    look: Looks,
    glyphs: Glyphs,
    width: int,
    now: float,
) -> Text:
    """
    Args:
        free: bytes that are free on the disk of the runs.
        now: on the monotonic clock.
    """
    text = Text(no_wrap=True, overflow="crop")
    if sample is None:
        text.append("looking at this machine", look.dim)
        return text
    for place, gpu in enumerate(sample.gpus):
        text.append_text(_gpu_line(gpu, look, glyphs, width))
        busy = [_busy(seen, place) for seen in history]
        if any(value is not None for value in busy) and width >= 50 and len(sample.gpus) <= 4:
            text.append(f"{'':7}{filled_curve(busy, width - 23, glyphs)}", look.good)
            text.append(" last 10 min\n", look.dim)
    if sample.problem:
        text.append(f"{plain(sample.problem)}\n", look.bad)
    elif not sample.gpus:
        text.append("GPU    no NVIDIA GPU found\n", look.dim)
    load = "" if sample.load is None else f"load {sample.load:.1f}/{sample.cores} cores  "
    text.append("host   ", look.dim)
    text.append(load, _by_fill(look, (sample.load or 0) / max(1, sample.cores) / 1.5))
    text.append("RAM ", look.ink)
    text.append_text(_bar(sample.used / max(1, sample.total), look, glyphs))
    text.append(f" {size_words(sample.used)} of {size_words(sample.total)}\n", look.ink)
    if not sample.gpus and width >= 50:
        loads = [None if seen.load is None else 100 * seen.load / max(1, seen.cores) for seen in history]
        text.append(f"{'':7}{filled_curve(loads, width - 26, glyphs)}", look.good)
        text.append(" load, last 10 min\n", look.dim)
    text.append("disk   ", look.dim)
    text.append("not known\n" if free is None else f"{size_words(free)} free\n", look.ink)
    text.append("notify ", look.dim)
    text.append(f"{calls_words(calls)}\n", look.ink)
    if (old := now - sample.time) > 10:
        text.append(f"not looked at for {duration(old)}: the driver does not answer\n", look.bad)
    return text


def calls_words(calls: Calls) -> str:
    """bell on, notice auto, command: ~/bin/ping-me."""
    command = calls.command if isinstance(calls.command, str) else " ".join(calls.command or [])
    parts = [f"bell {'on' if calls.bell else 'off'}", f"notice {calls.osc}"]
    return plain(", ".join([*parts, f"command {command}" if command else "no command"]))


def _gpu_line(gpu: Gpu, look: Looks, glyphs: Glyphs, width: int) -> Text:
    text = Text()
    text.append(f"GPU {gpu.index}  ", look.dim)
    # What it has of memory stands behind it.
    name = re.sub(r" \d+GB.*", "", plain(gpu.name.removeprefix("NVIDIA ").removeprefix("GeForce ")))
    text.append(f"{name[:16].rstrip()}  ", look.ink)
    if gpu.busy is not None:
        text.append("util ", look.dim)
        text.append_text(_bar(gpu.busy / 100, look, glyphs))
        text.append(f" {gpu.busy:3.0f} %  ", look.ink)
    if gpu.used is not None and gpu.total:
        text.append("mem ", look.dim)
        text.append_text(_bar(gpu.used / gpu.total, look, glyphs))
        text.append(f" {gpu.used / 1e9:.1f}/{gpu.total / 1e9:.0f} GB", look.ink)
    rest = (
        []
        if gpu.temperature is None
        else [f"{gpu.temperature:.0f} C" if glyphs is ASCII else f"{gpu.temperature:.0f} °C"]
    )
    if gpu.power is not None:
        rest.append(f"{gpu.power:.0f} W" + (f"/{gpu.power_limit:.0f}" if gpu.power_limit else ""))
    for word in rest:
        if text.cell_len + len(word) + 2 <= width:
            text.append(f"  {word}", look.dim)
    text.append("\n")
    return text


def _bar(share: float, look: Looks, glyphs: Glyphs) -> Text:
    full, empty = gauge(share, _BAR, glyphs)
    return Text(full, _by_fill(look, share)).append(empty, look.frame)


def _by_fill(look: Looks, share: float) -> str:
    return look.good if share < 0.7 else look.busy if share < 0.9 else look.bad


def _busy(sample: MachineSample, place: int) -> float | None:
    return sample.gpus[place].busy if place < len(sample.gpus) else None


def filled_curve(values: Sequence[float | None], width: int, glyphs: Glyphs) -> str:
    """Percentages of the last ten minutes as one line of columns; what was not seen yet is blank at the left."""
    width = max(0, width)
    room = round(HISTORY / STEP)
    padded = [*[None] * (room - len(values)), *values[-room:]]
    dots = Dots(width, 1)
    columns = width * ACROSS
    for x in range(columns):
        first, last = x * room // columns, max(x * room // columns + 1, (x + 1) * room // columns)
        if part := [value for value in padded[first:last] if value is not None]:
            for y in range(max(1, round(DOWN * min(100.0, max(part)) / 100))):
                dots.put(x, DOWN - 1 - y)
    return "".join(dots.lines(glyphs))

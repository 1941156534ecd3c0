"""What Setup says a run will take before it starts: memory, disk, time, network; and what is to be fixed."""

from __future__ import annotations

import textwrap

from rich.text import Text

from heretic_tui.settings.interface import Notify
from heretic_tui.settings.schema import Settings
from heretic_tui.tui.glyphs import Glyphs
from heretic_tui.tui.outlook import Outlook, to_fix_words
from heretic_tui.tui.plan_looks import ModelLook
from heretic_tui.tui.preview import SETS
from heretic_tui.tui.themes import Looks
from heretic_tui.words import counted, duration, plain, quantity, size_words

# Columns of the names at the left.
_NAMES = 9
# A pane that has no size yet is not painted; text is broken somewhere all the same.
_LEAST = 20


def before_words(outlook: Outlook, notify: Notify, glyphs: Glyphs, look: Looks, timed: bool, width: int) -> Text:
    """What is known of the run before it starts, and the one line of what is to be fixed.

    Args:
        timed: whether what depends on the machine is shown.
        width: cells of a line.
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
        ("model", _model(outlook)),
        ("edits", _edits(outlook)),
        ("memory", _memory(outlook, glyphs) if timed else "not known"),
        ("disk", _disk(outlook, timed)),
        ("time", _time(outlook)),
        ("network", _network(outlook, glyphs)),
        ("notify", _notify(notify)),
    )
    for name, line in lines:
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


def _model(outlook: Outlook) -> str:
    found, facts = outlook.model, outlook.facts
    if found and not found.problem:
        layers = f"{counted(found.layers, 'layer')} of {found.hidden:,}"
        return f"{found.architecture}, {layers}, {quantity(found.parameters)} parameters"
    if facts is None:
        return "known when it is downloaded" if outlook.settings.model else "not chosen"
    layers = f", {counted(facts.layers, 'layer')} of {facts.hidden_size}" if facts.layers else ""
    return f"{facts.architecture}{layers}, {size_words(facts.weight_bytes)}, {facts.dtype or 'dtype not given'}"


def _edits(outlook: Outlook) -> str:
    found = outlook.model
    return f"{found.edited} of {found.found} matrices  (i lists them)" if found and not found.problem else "not known"


def _memory(outlook: Outlook, glyphs: Glyphs) -> str:
    """Weights, products of edits and the cache of the largest batch, and whether they fit."""
    found, device = outlook.model, outlook.device
    free = f"{size_words(device.free)} free ({device.name}, {size_words(device.total)} in all)" if device else ""
    if found is None or found.problem or device is None:
        return f"not known; {free}" if free else "not known"
    edits = min(found.edits, round(found.edits_share * max(0, device.free - found.weights)))
    rows = outlook.settings.batch_size or outlook.settings.max_batch_size
    cache = _cache_bytes(outlook.settings, found, rows, max(outlook.longest.values(), default=0))
    parts = f"{size_words(found.weights)} weights + {size_words(edits)} edits"
    parts += f" + {size_words(cache)} cache ({counted(rows, 'row')})" if cache else ", without the cache"
    if found.weights + edits + cache <= device.free:
        verdict = f"fits {glyphs.done}"
    elif found.weights + edits + cache / rows <= device.free:
        verdict = f"fits with smaller batches {glyphs.done}"
    elif outlook.settings.quantization == "none" and found.quantized + edits + cache / rows <= device.free:
        verdict = f"does not fit {glyphs.failed}, in 4 bits it does"
    else:
        verdict = f"does not fit {glyphs.failed}"
    return f"{parts}\nneeds {size_words(found.weights + edits + cache)} of {free}: {verdict}"


def _cache_bytes(settings: Settings, found: ModelLook, rows: int, longest: int) -> int:
    return rows * (longest + settings.max_response_length) * found.token if found.token and longest else 0


def _disk(outlook: Outlook, timed: bool) -> str:
    found, kept = outlook.model, outlook.sets.kept or {}
    free = "free space is not known"
    if timed and outlook.free_disk is not None:
        free = f"{size_words(outlook.free_disk)} free"
    if not outlook.settings.keep_residuals:
        return f"residuals are not kept; {free}"
    if found is None or found.problem or len(kept) < len(SETS):
        return free
    # As the store of residuals has them: two bytes a number, one place more than there are layers.
    size = 2 * sum(kept.values()) * (found.layers + 1) * found.hidden
    return f"residuals {size_words(size)}; {free}"


def _time(outlook: Outlook) -> str:
    times, trials = outlook.times, outlook.settings.n_trials
    if times is None:
        return "not known before the first trial"
    whole = duration(times.preparation + trials * times.trial + times.analysis)
    parts = f"prepare {duration(times.preparation)} + {counted(trials, 'trial')} of {duration(times.trial)}"
    parts += f" + layers {duration(times.analysis)}" if times.analysis else ""
    now, then = outlook.settings.screening, times.screening
    other = "" if now == then else f", with screening {then}: with {now} it takes {'more' if now == 'off' else 'less'}"
    if {now, then} == {"safe", "fast"}:
        other = f", with screening {then}"
    return f"about {whole}: {parts}\n(as {times.run} took, {counted(times.trials, 'trial')}{other})"


def _network(outlook: Outlook, glyphs: Glyphs) -> str:
    wanted = ", ".join(outlook.download)
    return f"to download at start: {wanted}" if wanted else f"nothing to download {glyphs.done}"


def _notify(notify: Notify) -> str:
    ways = ["bell"] * notify.bell + [f"OSC {notify.osc}"] * (notify.osc != "off") + ["command"] * bool(notify.command)
    return f"{' + '.join(ways)} on {', '.join(notify.on)}" if ways and notify.on else "off"

"""The settings as lines of Setup's table: the common ones, then the others by groups that open and close."""

from __future__ import annotations

from collections.abc import Container

from rich.text import Text

from heretic_tui.settings.form import Entry, SettingsForm
from heretic_tui.tui.glyphs import Glyphs
from heretic_tui.tui.widgets.line_table import Row
from heretic_tui.words import plain

COMMON = (
    "model",
    "quantization",
    "good_prompts",
    "bad_prompts",
    "good_evaluation_prompts",
    "bad_evaluation_prompts",
    "n_trials",
    "n_startup_trials",
    "batch_size",
    "seed",
)
# Key of the line that starts the run. A group's line has the key `group:NAME`.
START = "start"


def setting_rows(form: SettingsForm, opened: Container[str], glyphs: Glyphs) -> list[Row]:
    """All lines.

    Args:
        opened: the groups whose settings are shown.
    """
    entries = list(form.entries())
    by_key = {entry.key: entry for entry in entries}
    ready = "Start" if form.settings.model else "Start: choose a model first"
    rows = [Row(START, (f"{glyphs.running} {ready}   ctrl+s",), "group")]
    rows += [_row(by_key[name], glyphs) for name in COMMON]
    for group in dict.fromkeys(entry.group for entry in entries):
        members = [entry for entry in entries if entry.group == group and entry.key not in COMMON]
        changed = sum(entry.changed for entry in members)
        words = f" ({changed} changed)" if changed else ""
        mark = glyphs.open if group in opened else glyphs.closed
        rows.append(Row(f"group:{group}", (f"{mark} {group}{words}",), "group"))
        if group in opened:
            rows += [_row(entry, glyphs) for entry in members]
    return rows


def setting_words(entry: Entry) -> Text:
    """What a setting means, and its default."""
    text = Text()
    text.append(f"{entry.key}\n", "bold")
    text.append(f"{plain(entry.description)}\n")
    default = entry.default if entry.default not in ("", '""') else "unset" if not entry.default else "empty"
    text.append(f"default: {plain(default)}\n", "dim")
    return text


def _row(entry: Entry, glyphs: Glyphs) -> Row:
    mark = glyphs.changed if entry.changed else " "
    name = entry.name if entry.part is None else f"{_short(entry.name)}.{entry.part}"
    value = entry.shown if entry.value not in ("", '""') else "unset" if not entry.value else "empty"
    return Row(entry.key, (mark, name, plain(value)), "changed" if entry.changed else "row")


def _short(name: str) -> str:
    return name.replace("_evaluation_prompts", "_eval").replace("_prompts", "")

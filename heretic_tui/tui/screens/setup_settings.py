"""The settings as lines of the Plan on Setup: the common ones under headings, then the others by groups that open and
close; beneath a value that cannot be used, why."""

from __future__ import annotations

import textwrap
from collections.abc import Container, Iterator

from rich.text import Text

from heretic_tui.behaviour import Behaviour, behaviour_of
from heretic_tui.files import short_path
from heretic_tui.settings.form import Entry, SettingsForm
from heretic_tui.settings.presets import PRESETS, preset_of
from heretic_tui.settings.prompt_sets import PromptSet
from heretic_tui.settings.schema import Settings
from heretic_tui.tui.findings import Finding
from heretic_tui.tui.glyphs import Glyphs
from heretic_tui.tui.outlook import Outlook
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.widgets.line_table import Column, Row
from heretic_tui.words import plain

SETS = ("good_prompts", "bad_prompts", "good_evaluation_prompts", "bad_evaluation_prompts")
# The line that shows which preset the settings have.
PRESET = "preset"
_COMMON = {
    "Model": ("model", "quantization", "dtypes"),
    "Prompts": SETS,
    "Search": (PRESET, "n_trials", "n_startup_trials", "screening", "early_stop", "seed"),
    "Refusal is": ("refusal_markers", "judge"),
}
COMMON = tuple(key for keys in _COMMON.values() for key in keys)
# Cells of a name, of what stands before a value, and of a note at most.
_NAME = 24
_BEFORE_VALUES = _NAME + 3
_NOTE = 26
# Lines that a reason takes at most; all of it stands below the table.
_LINES = 2


def words_of(settings: Settings) -> Behaviour:
    """What the judge tells by these settings, in words."""
    return behaviour_of({"behaviour": settings.behaviour})


def plan_rows(
    form: SettingsForm, opened: Container[str], outlook: Outlook, glyphs: Glyphs, width: int, tight: bool = False
) -> list[Row]:
    """All lines. A group's line has the key `group:NAME`; a line that the cursor passes over has a tuple as its key.

    Args:
        opened: the groups, and the prompt sets, that show what they hold.
        width: cells of a line.
        tight: whether there are no blank lines between the groups.
    """
    entries = list(form.entries())
    by_key = {entry.key: entry for entry in entries}
    rows: list[Row] = []
    # What a search is on top of is as good as its model.
    below = ("on_top_of",) if form.settings.on_top_of else ()
    common = {**_COMMON, "Model": (*_COMMON["Model"], *below)}
    for heading, keys in common.items():
        rows += [Row(("gap", heading), ("",), caption=True)] if rows and not tight else []
        words = words_of(form.settings).in_words(heading)
        rows.append(Row(("heading", heading), (words.upper(),), "dim", caption=True))
        for key in keys:
            if key == PRESET:
                rows.append(_preset_row(form))
                continue
            rows += _rows(by_key[key], form, outlook, glyphs, width)
            parts = [entry for entry in entries if key in SETS and entry.name == key and entry.part]
            for part in parts if key in opened else []:
                rows += _rows(part, form, outlook, glyphs, width)
    rows += [] if tight else [Row(("gap", "groups"), ("",), caption=True)]
    for group in dict.fromkeys(entry.group for entry in entries):
        members = [e for e in entries if e.group == group and e.key not in (*COMMON, *below) and e.name not in SETS]
        if not members:
            continue
        changed = sum(entry.changed for entry in members)
        words = f"{changed} changed" if changed else "defaults"
        bad = any((found := outlook.finding(e.key)) and found.state == "bad" for e in members)
        mark = glyphs.open if group in opened else glyphs.closed
        title = f"{mark} {group} ({words})" + f" {glyphs.failed}" * bad
        rows.append(Row(f"group:{group}", (title,), "changed" if changed else "group"))
        if group in opened:
            for entry in members:
                rows += _rows(entry, form, outlook, glyphs, width)
    return rows


def plan_columns(outlook: Outlook) -> tuple[Column, ...]:
    """The columns of the plan: values take what names and notes leave."""
    note = _note_width(outlook)
    return Column("mark", "", 1), Column("name", "", _NAME), Column("value", "", 0), Column("note", "", note)


def _note_width(outlook: Outlook) -> int:
    return max(1, min(_NOTE, max((len(finding.note) for finding in outlook.findings.values()), default=1)))


def _preset_row(form: SettingsForm) -> Row:
    now = preset_of(form.settings)
    names = [(each, f"{each.name} {each.values['n_trials']}") for each in PRESETS]
    words = [f"[{name}]" if each == now else f" {name} " for each, name in names]
    return Row(PRESET, (" ", "preset", " ".join(words).strip(), "" if now else "none of them"), kinds=((3, "dim"),))


def _set_words(spec: PromptSet, room: int, glyphs: Glyphs) -> str:
    """A prompt set in a line: where it lies, its split, its column."""
    more = f" {spec.split}" if spec.split else ""
    more += f" : {spec.column}" if spec.column and spec.column != "text" else ""
    return path_words(spec.dataset, room - len(more), glyphs) + more


def path_words(path: str, room: int, glyphs: Glyphs) -> str:
    """A path in so many cells: of a long one the end, which tells most."""
    path = short_path(path)
    return path if len(path) <= room or room < 8 else glyphs.ellipsis + path[len(path) - room + len(glyphs.ellipsis) :]


def _rows(entry: Entry, form: SettingsForm, outlook: Outlook, glyphs: Glyphs, width: int) -> Iterator[Row]:
    finding = outlook.finding(entry.key) or Finding("unknown")
    mark, kind = {
        "good": (glyphs.done, "good"),
        "bad": (glyphs.failed, "bad"),
        "looking": (glyphs.ellipsis[:1], "busy"),
        "unknown": (" ", "dim"),
    }[finding.state]
    title = f"  {entry.title}" if entry.part else words_of(form.settings).in_words(entry.title)
    value, room = entry.words, width - _BEFORE_VALUES - _note_width(outlook) - 2
    if not entry.part and entry.name in SETS:
        value = _set_words(getattr(form.settings, entry.name), room, glyphs)
    elif entry.key in ("model", "runs_dir"):
        value = path_words(value, room, glyphs)
    kinds = ((0, kind), (2, "bad" if finding.state == "bad" else "mark" if entry.changed else "row"), (3, "dim"))
    yield Row(entry.key, (mark, title, plain(value), finding.note), kinds=kinds)
    for place, line in enumerate(_reason(finding, glyphs, width)):
        yield Row(("reason", entry.key, place), (line,), "bad", caption=True)


def _reason(finding: Finding, glyphs: Glyphs, width: int) -> list[str]:
    indent = " " * 6
    room = max(20, width - len(indent) - 1)
    lines = textwrap.wrap(plain(finding.reason), room, max_lines=_LINES, placeholder=glyphs.ellipsis)
    if finding.instead and finding.state == "unknown":
        lines.append(f"tab takes {plain(finding.instead)}")
    elif finding.instead:
        lines.append(f"did you mean {plain(finding.instead)}?  (tab takes it)")
    return [indent + line for line in lines]


def about_words(entry: Entry | None, outlook: Outlook, look: Looks) -> Text:
    """What the setting under the cursor means, with its key, its default, and what is wrong with its value."""
    if entry is None:
        return Text()
    text = Text(entry.title[:1].upper() + entry.title[1:], "bold")
    text.append(f"  {entry.key}" if entry.key != entry.title else "", look.dim)
    text.append(f"\n{plain(entry.description)}", look.ink)
    text.append(f"\ndefault: {plain(entry.default_words)}", look.dim)
    if (finding := outlook.finding(entry.key)) and finding.reason:
        text.append(f"\n{plain(finding.reason)}", look.bad)
    return text

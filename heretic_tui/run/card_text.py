"""card-NNNN.md: what a person writes of a trial for its model card. It is kept in the run folder, so that it stays when
figures change; all other lines of a card are made from the run."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from heretic_tui.errors import UsageError
from heretic_tui.files import read_bytes, replaced
from heretic_tui.run.folder import RunFolder

BEGIN = "<!-- your text: what you write between this line and the next one like it is kept when figures change -->"
END = "<!-- end of your text: all other lines are made from the run -->"
# Characters; no model card is as long.
LONGEST = 200_000


@dataclass(frozen=True)
class Written:
    """What a person wrote in a card.

    Attributes:
        text: their part.
        moved: lines of it that they wrote elsewhere in the card.
    """

    text: str
    moved: int = 0


def read_card_text(folder: RunFolder, trial: int) -> str:
    """What is kept for a trial; empty where nothing is.

    Raises:
        UsageError: when the file cannot be read, or is too long.
    """
    path = folder.card(trial)
    try:
        return checked(read_bytes(path).decode("utf-8"), str(path))
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no UTF-8 text") from None


def keep_card_text(folder: RunFolder, trial: int, text: str) -> None:
    """Keep a text for the card of a trial, in place of the one before.

    Raises:
        UsageError: when it is too long.
        HereticError: when it cannot be written.
    """
    text = checked(text, "your text for the card")
    with replaced(folder.card(trial)) as beside:
        beside.write_text(text, encoding="utf-8", errors="replace")


def checked(text: str, where: str) -> str:
    """The text.

    Raises:
        UsageError: where it is longer than what a card holds.
    """
    if len(text) > LONGEST:
        raise UsageError(f"{where} has more than {LONGEST:,} characters")
    return text


def marked(own: str) -> list[str]:
    """The person's part as lines of a card. A comment or a block of code that it leaves open ends with it."""
    lines = [line.rstrip() for line in _unmarked(own.splitlines())]
    text = "\n".join(lines)
    if text.rfind("<!--") > text.rfind("-->"):
        lines.append("-->")
    for fence in ("```", "~~~"):
        if sum(line.lstrip().startswith(fence) for line in lines) % 2:
            lines.append(fence)
    return [BEGIN, "", *lines, "", END]


def own_part(text: str) -> str:
    """The person's part of a whole card, or all of a text that is no card."""
    lines = text.splitlines()
    place = _place(lines)
    return _text(lines[place[0] + 1 : place[1]] if place else lines)


def written(edited: str, made: str) -> Written:
    """The person's part of a card that was edited. What was written elsewhere in it goes there too, so that nothing is
    lost: the other lines are made again.

    Args:
        made: the card as it is without any text of the person's.
    """
    lines = edited.splitlines()
    place = _place(lines)
    inside, outside = lines[place[0] + 1 : place[1]] if place else [], lines
    if place:
        outside = lines[: place[0]] + lines[place[1] + 1 :]
    before = _unmarked(made.splitlines())
    outside = _unmarked(outside)
    added: list[str] = []
    for tag, _, _, first, last in difflib.SequenceMatcher(None, before, outside, autojunk=False).get_opcodes():
        if tag in ("insert", "replace"):
            added += outside[first:last]
    moved = [line for line in added if line.strip()]
    parts = [part for part in (_text(inside), _text(added)) if part]
    return Written("\n".join(parts), len(moved))


def _place(lines: list[str]) -> tuple[int, int] | None:
    """Where the person's part begins and ends; None where its marks are not there."""
    found = [line.strip() for line in lines]
    if BEGIN not in found:
        return None
    first = found.index(BEGIN)
    return (first, found.index(END, first)) if END in found[first:] else None


def _unmarked(lines: list[str]) -> list[str]:
    return [line for line in lines if line.strip() not in (BEGIN, END)]


def _text(lines: list[str]) -> str:
    text = "\n".join(_unmarked(lines)).strip("\n").rstrip()
    return f"{text}\n" if text.strip() else ""

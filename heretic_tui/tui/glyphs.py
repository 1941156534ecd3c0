"""Glyphs for terminals that have them and for those that have not, and text without control characters."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.text import Span, Text
from textual.color import Color
from textual.filter import LineFilter

from heretic_tui.words import plain

# What texts and charts draw with, for terminals that only know ASCII.
_TO_ASCII: dict[int, int | str] = {
    **str.maketrans(
        "─│┌┐└┘├┤┬┴┼━┃╭╮╰╯•·…▁▂▃▄▅▆▇█░▒▓◆▶✗■○●‖✓▸▾›↑↓→←≤≥≈∘×∥⏸",
        "-|++++++++-|++++*..__---===#:+%*>x#oo=v>v>^v><<>~ox|=",
    ),
    ord("±"): "+-",
}


@dataclass(frozen=True)
class Glyphs:
    """One character each, always beside a word or in a place of its own: colour and glyph are never the only sign."""

    front: str = "◆"
    # On the front of a second round, and no better than what that began with; and that itself.
    in_vain: str = "◇"
    start: str = "▣"
    complete: str = "·"
    running: str = "▶"
    dominated: str = "↑"
    failed: str = "✗"
    stopped: str = "■"
    paused: str = "‖"
    done: str = "✓"
    idle: str = "○"
    selected: str = "●"
    changed: str = "●"
    here: str = "▲"
    at_least: str = "≥"
    about: str = "≈"
    give_or_take: str = "±"
    closed: str = "▸"
    open: str = "▾"
    full: str = "█"
    empty: str = "░"
    across: str = "─"
    at: str = "┆"
    down: str = "│"
    corner: str = "└"
    ellipsis: str = "…"
    # Between facts, and before the items of a list.
    dot: str = "·"
    marked: str = "★"
    # A verdict or a count that a person overruled; what something becomes.
    overruled: str = "✎"
    becomes: str = "→"
    # Where the next character comes.
    cursor: str = "▏"
    shades: str = " ░▒▓█"
    bars: str = " ▁▂▃▄▅▆▇█"
    # Trials, in the table and the scatter.
    beaten: str = "○"
    cut_short: str = "◌"
    screened: str = "◦"
    original: str = "□"
    by_hand: str = "△"
    chosen: str = "+"
    rising: str = "▲"
    falling: str = "▼"
    # A trial whose refusals differ from the selected one's by no more than chance, in the scatter.
    alike: str = "◈"
    # Between two bounds.
    until: str = "–"


UNICODE = Glyphs()
ASCII = Glyphs(
    front="*", in_vain="=", start="S",
    complete=".", running=">", dominated="^", failed="x", stopped="#", paused="=", done="+", idle="o",
    selected="@", changed="*", here="^", at_least=">=", about="~", give_or_take="+-", closed=">", open="v",
    full="#", empty=".", across="-", at=":", down="|", corner="+", ellipsis="...", dot="-",
    marked="!", overruled="%", becomes="->", cursor="_",
    shades=" .:+#", bars=" _.-:=+*#",
    beaten="o", cut_short=",", screened="'", original="O", by_hand="h", chosen="+", rising="^",
    falling="v", alike="&", until="-",
)  # fmt: skip

STATE_GLYPHS = {
    "running": "running",
    "complete": "complete",
    "dominated": "dominated",
    "screened": "screened",
    "failed": "failed",
    "stopped": "stopped",
    "interrupted": "stopped",
    "paused": "paused",
    "pausing": "paused",
    "stopping": "stopped",
    "aborting": "stopped",
    "done": "done",
    "ready": "done",
    "idle": "idle",
}


class AsciiFrames(LineFilter):
    """Borders, scroll bars, carets and arrows of Textual's in ASCII, and where it cuts a title; no text is changed."""

    _FRAMES = str.maketrans(
        "─│┌┐└┘├┤┬┴┼━┃┏┓┗┛╭╮╰╯▔▁▂▃▄▅▆▇█▊▎▌▐▕▏╸╺▼▲",
        "-|+++++++++-|++++++++-_" + "#" * 7 + "||||||--" + "v^",
    )

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        found, before = [], ""
        for segment in segments:
            text = segment.text
            if not text.isascii():
                # In a border stands a title of ours, which may be too long for it.
                cut = before[-1:] in ("─", "━") and text.endswith("… ") and len(text) > 4
                shown = f"{text[:-4]}... " if cut else text
                found.append(Segment(shown.translate(self._FRAMES), segment.style))
            else:
                found.append(segment)
            before = text
        return found


def glyph_of(glyphs: Glyphs, state: str) -> str:
    glyph: str = getattr(glyphs, STATE_GLYPHS.get(state, "idle"))
    return glyph


def to_ascii(text: str) -> str:
    """Charts in the nearest ASCII characters; braille dots become points."""
    text = text.translate(_TO_ASCII)
    return "".join(
        " " if c == "\u2800" else "*" if "\u2800" < c <= "\u28ff" else c if c.isascii() else "?" for c in text
    )


def ours_in_ascii(text: str) -> str:
    """A text with what we draw with in ASCII; other people's letters stay."""
    return text.translate(_TO_ASCII)


def safe_lines(text: str, style: str = "") -> Text:
    """Anybody's text: no markup, no control characters but line ends."""
    lines = text.expandtabs(4).replace("\r\n", "\n").split("\n")
    return Text("\n".join(plain(line) for line in lines), style=style)


def made_plain(text: Text) -> Text:
    """Text with its styles and without control characters but line ends."""
    if text.plain.replace("\n", "").isprintable():
        return text
    pieces = [c if c == "\n" else plain(c) for c in text.plain]
    places = list(itertools.accumulate(map(len, pieces), initial=0))
    last = len(places) - 1
    spans = [Span(places[min(s.start, last)], places[min(s.end, last)], s.style) for s in text.spans]
    cleaned = text.blank_copy("".join(pieces))
    cleaned.spans = spans
    return cleaned


def fit(text: str, width: int, right: bool = False) -> str:
    """Text in exactly `width` cells, without control characters."""
    if width <= 0:
        return ""
    text = plain(text)
    length = cell_len(text)
    if length > width:
        cut = Text(text)
        cut.truncate(width)
        text = cut.plain
        length = cell_len(text)
    pad = " " * (width - length)
    return pad + text if right else text + pad

"""The themes of our own, and the colours that have a meaning: the same names in every theme, also in Textual's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from textual.dom import DOMNode
from textual.theme import Theme


@dataclass(frozen=True)
class Looks:
    """A colour for each meaning, as Rich and CSS name it. Each meaning has a word or a glyph as well.

    Attributes:
        ink: text.
        dim: hints, and what was cut short.
        frame: frames of panes that are not focused.
        focus: the focused frame, and the one thing to press; marks.
        link: what is selected.
        good: on the front, answered, done.
        bad: refused, failed.
        busy: running, paused, changed.
        base: the original model, everywhere.
    """

    ink: str
    dim: str
    frame: str
    focus: str
    link: str
    good: str
    bad: str
    busy: str
    base: str


# Where a theme of Textual's has no colour of that meaning, the one of this name is taken.
_IN_OTHER_THEMES = {
    "ink": "foreground",
    "dim": "foreground-muted",
    "frame": "border-blurred",
    "focus": "accent",
    "link": "primary",
    "good": "text-success",
    "bad": "text-error",
    "busy": "text-warning",
    "base": "text-secondary",
    "ground": "background",
    "pane": "background",
    "chosen": "primary-muted",
    "chosen-ink": "foreground",
}

_DARK = {
    "ink": "#D7DAE0",
    "dim": "#8B939E",
    "frame": "#3A4356",
    "focus": "#F0A35E",
    "link": "#5CC8D7",
    "good": "#7FD88F",
    "bad": "#EE7F88",
    "busy": "#E5C07B",
    "base": "#C79BD1",
    "ground": "#0F1117",
    "pane": "#161A23",
    "chosen": "#1F4650",
    "chosen-ink": "#F2F4F7",
}
_LIGHT = {
    "ink": "#23272E",
    "dim": "#5C646F",
    "frame": "#B9B6AC",
    "focus": "#8F4E00",
    "link": "#0B6472",
    "good": "#1F7A3A",
    "bad": "#B3261E",
    "busy": "#7A5600",
    "base": "#7B3F8F",
    "ground": "#FAFAF7",
    "pane": "#F1F0EB",
    "chosen": "#C9E4EA",
    "chosen-ink": "#14181D",
}
_ANSI = {
    "ink": "ansi_default",
    "dim": "ansi_default",
    "frame": "ansi_default",
    "focus": "ansi_yellow",
    "link": "ansi_cyan",
    "good": "ansi_green",
    "bad": "ansi_red",
    "busy": "ansi_yellow",
    "base": "ansi_magenta",
    "ground": "ansi_default",
    "pane": "ansi_default",
    "chosen": "ansi_default",
    "chosen-ink": "ansi_default",
}


def _theme(name: str, colours: Mapping[str, str], dark: bool, more: Mapping[str, str] | None = None) -> Theme:
    return Theme(
        name=name,
        primary=colours["link"],
        secondary=colours["base"],
        warning=colours["busy"],
        error=colours["bad"],
        success=colours["good"],
        accent=colours["focus"],
        foreground=colours["ink"],
        background=colours["ground"],
        surface=colours["pane"],
        panel=colours["pane"],
        dark=dark,
        ansi=colours is _ANSI,
        variables={**colours, **(more or {})},
    )


DARK, LIGHT, ANSI = "heretic-dark", "heretic-light", "heretic-ansi"

THEMES = (
    _theme(DARK, _DARK, True),
    _theme(LIGHT, _LIGHT, False),
    _theme(
        ANSI,
        _ANSI,
        True,
        {
            "ansi-background": "ansi_black",
            "ansi-foreground": "ansi_white",
            "border-blurred": "ansi_default",
            "block-cursor-foreground": "ansi_black",
            "block-cursor-background": "ansi_white",
            "input-cursor-background": "ansi_white",
            "input-cursor-foreground": "ansi_black",
            "input-cursor-text-style": "none",
            "input-selection-background": "ansi_bright_blue",
            "input-selection-foreground": "ansi_black",
            "screen-selection-background": "ansi_bright_blue",
            "screen-selection-foreground": "ansi_black",
        },
    ),
)


def with_meanings(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of a theme, and those that our stylesheet names besides."""
    lacking = {name: variables.get(other, variables.get("foreground", "")) for name, other in _IN_OTHER_THEMES.items()}
    return {**lacking, **variables}


def looks(node: DOMNode) -> Looks:
    """The colours of the theme in use, for texts that a widget draws itself."""
    variables = node.app.theme_variables
    found = {field.name: _for_rich(variables[field.name]) for field in fields(Looks)}
    if node.app.current_theme.ansi:
        # The terminal's own colours have no grey that can be read on every ground.
        found["dim"] = found["frame"] = "dim"
    return Looks(**found)


def _for_rich(colour: str) -> str:
    """A colour of CSS as Rich spells it; what only CSS can mix is left to the terminal's own."""
    name = colour.strip().lower().removeprefix("ansi_")
    if name.startswith("#"):
        return name[:7]
    return name if name.replace("bright_", "") in _ANSI_NAMES else "default"


_ANSI_NAMES = frozenset(("default", "black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"))

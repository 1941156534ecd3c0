"""The themes: whether every text can be read on every ground that it stands on, and whether a choice lasts."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from textual.color import Color
from textual.pilot import Pilot

from heretic_tui.settings.interface import Interface, load_interface
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.screens.dialogs import TextDialog
from heretic_tui.tui.themes import ANSI, DARK, LIGHT, THEMES, looks
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.message_line import MessageLine
from tests.support import fake_run
from tests.support.screens import drawn, drive, make_app, settle, told

# Frames are no text: WCAG asks 3:1 of them only where they alone say something, and titles do here.
_TEXTS = ("ink", "dim", "focus", "link", "good", "bad", "busy", "base")


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1) of #RRGGBB."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, from 1 to 21 (WCAG 2.1)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("name", [DARK, LIGHT])
def test_every_text_of_our_themes_can_be_read(name: str) -> None:
    (theme,) = (theme for theme in THEMES if theme.name == name)
    colours = theme.variables
    pairs = [*itertools.product(_TEXTS, ("ground", "pane")), ("chosen-ink", "chosen")]
    low = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in pairs}
    assert {pair: found for pair, found in low.items() if found < 4.5} == {}


@pytest.mark.parametrize("theme", [DARK, LIGHT, ANSI, "nord", "textual-light", "ansi-dark", "dracula"])
def test_every_theme_has_a_colour_for_each_meaning(tmp_path: Path, folder: Path, theme: str) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=5))
        await settle(pilot, app)
        assert app.theme == theme
        found = vars(looks(app))
        assert all(found.values())
        if "ansi" not in theme:
            assert all(colour.startswith("#") for colour in found.values())
        assert "fewest refusals" in drawn(app)

    drive(make_app(tmp_path, host, interface=Interface(theme=theme)), steps, (120, 40))


def test_a_theme_that_is_chosen_is_there_the_next_time(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await pilot.pause()
        assert load_interface().theme == "", "what nobody chose is not kept"
        app.theme = "nord"
        await pilot.pause()

    drive(make_app(tmp_path, fake_run.FakeHost(folder)), steps)
    assert load_interface().theme == "nord"


def test_titles_and_the_message_take_the_colours_of_a_theme_that_is_chosen(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=5))
        app.say("A word.")
        await settle(pilot, app)
        app.theme = LIGHT
        await settle(pilot, app)
        title = app.screen.query_one("#trials-pane", Frame).border_title
        assert title
        assert Color.parse(looks(app).good).css in title
        message = app.screen.query_one(MessageLine).content
        assert isinstance(message, Text)
        assert looks(app).ink in {str(span.style) for span in message.spans}

    drive(make_app(tmp_path, host), steps, (120, 40))


def test_a_theme_that_does_not_exist_is_told(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await pilot.pause()
        assert any("no theme 'pink'" in text for text in told(app))

    drive(make_app(tmp_path, interface=Interface(theme="pink")), steps)


def test_a_keymap_changes_keys_and_what_is_said_of_them(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=5))
        await settle(pilot, app)
        assert "z sort" in drawn(app)
        await pilot.press("h")
        assert isinstance(app.screen, TextDialog), "the key of help is another"
        await pilot.press("escape")
        await pilot.press("z")
        await settle(pilot, app)
        assert "sorted by trial" not in drawn(app)

    keys = {"trials.sort": "z", "app.help": "h"}
    drive(make_app(tmp_path, host, interface=Interface(keys=keys)), steps, (120, 40))


def test_a_keymap_with_a_name_that_no_action_has_is_told(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await pilot.pause()
        assert any("names no action by 'trials.sorts': did you mean 'trials.sort'?" in text for text in told(app))

    drive(make_app(tmp_path, interface=Interface(keys={"trials.sorts": "z"})), steps)

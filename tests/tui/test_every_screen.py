"""What holds for every screen: its panes, its lines, its help, and that ASCII alone is drawn where that is asked."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from heretic_tui import events as ev
from heretic_tui.behaviour import behaviour_of
from heretic_tui.figures import figures_of_before
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.screens.base import PanedScreen
from heretic_tui.tui.screens.dialogs import TextDialog
from heretic_tui.tui.widgets.frame import Frame
from tests.support import fake_run
from tests.support.screens import drawn, drive, make_app, settle

SIZES = [(80, 24), (120, 40), (200, 50), (60, 16)]
# What is pressed to see each screen, from Trials with the first trial selected.
SCREENS = {
    "home": ["0"],
    "setup": ["1"],
    "layers": ["2"],
    "trials": ["3"],
    "chat": ["4", "escape"],
    "export": ["5"],
    "log": ["6"],
    "workers": ["7"],
    "responses": ["g", "n", "enter"],
    "compare": ["g", "n", "C"],
}


async def _open(pilot: Pilot[Any], app: HereticApp, host: fake_run.FakeHost, name: str) -> None:
    host.push(*fake_run.story())
    await settle(pilot, app)
    await pilot.press(*SCREENS[name])
    await settle(pilot, app)


def _in_view(screen: PanedScreen[Any]) -> list[Frame]:
    """The frames that are shown; the line that one writes in stays beside any of them."""
    return [each for each in screen.query(Frame) if each.id != "message-pane" and each.size.width and each.size.height]


@pytest.fixture
def host(tmp_path: Path) -> fake_run.FakeHost:
    folder = tmp_path / "run"
    folder.mkdir()
    for number in (None, *range(24)):
        fake_run.write_responses(folder, number, 91 if number is None else 20)
    fake_run.write_views(folder)
    return fake_run.FakeHost(folder)


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_shows_titled_panes_at_every_size(tmp_path: Path, host: fake_run.FakeHost, name: str) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await _open(pilot, app, host, name)
        for size in SIZES:
            await pilot.resize_terminal(*size)
            await settle(pilot, app)
            screen = app.screen
            assert isinstance(screen, PanedScreen)
            frames = _in_view(screen)
            assert frames, f"no pane is shown at {size}"
            assert all(frame.border_title for frame in frames)
            lines = drawn(app).splitlines()
            assert lines[0].startswith(" heretic "), "the first line says where one is"
            if size[0] < 100:
                assert len(frames) == 1, "one pane at a time"
                seen = {screen.pane}
                for _ in screen.PANES[1:]:
                    screen.action_next_pane()
                    await settle(pilot, app)
                    (shown,) = _in_view(screen)
                    assert shown.id == screen.pane
                    seen.add(screen.pane)
                # Columns, knobs and samples of a chat are shown when they are asked for.
                assert seen == set(screen.PANES) or name == "chat"
                if screen.PANES:
                    screen.action_next_pane()

    drive(make_app(tmp_path, host), steps, (120, 40))


@pytest.mark.parametrize("name", SCREENS)
def test_help_begins_with_how_to_close_it_and_the_keys_of_the_screen(
    tmp_path: Path, host: fake_run.FakeHost, name: str
) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await _open(pilot, app, host, name)
        await pilot.press("f1")
        assert isinstance(app.screen, TextDialog)
        words = app.screen.text.plain
        assert words.startswith("esc closes this help.")
        assert words.index("This screen") < words.index("Everywhere") or "Everywhere" not in words
        await pilot.press("f1")
        assert not isinstance(app.screen, TextDialog), "the same key closes it"

    drive(make_app(tmp_path, host), steps, (120, 40))


@pytest.mark.parametrize("name", SCREENS)
def test_ascii_draws_nothing_else(tmp_path: Path, host: fake_run.FakeHost, name: str) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await _open(pilot, app, host, name)
        host.push(ev.Notice(text="all is well"))
        for size in ((80, 24), (200, 50)):
            await pilot.resize_terminal(*size)
            await settle(pilot, app)
            strange = {character for character in drawn(app) if not character.isascii()}
            assert not strange
        await pilot.press("f1")
        await settle(pilot, app)
        assert drawn(app).isascii()

    drive(make_app(tmp_path, host, interface=Interface(ascii=True)), steps, (120, 40))


def test_a_tiny_terminal_still_says_state_progress_best_and_message(tmp_path: Path, host: fake_run.FakeHost) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story())
        await settle(pilot, app)
        app.say("trial 3 joined the front")
        await settle(pilot, app)
        words = drawn(app).splitlines()
        assert "running" in words[0]
        assert "62/100" in words[1]
        assert "fewest refusals: trial 0, 5/100" in words[2]
        assert "trial 3 joined the front" in "\n".join(words)
        host.push(ev.StateChanged(state="paused"))
        await settle(pilot, app)
        assert "paused" in drawn(app).splitlines()[0], "it is painted at the tick"

    drive(make_app(tmp_path, host), steps, (40, 12))


@pytest.mark.parametrize("name", ["layers", "trials", "chat", "export", "responses", "compare"])
def test_of_another_behaviour_no_screen_nor_help_speaks_of_refusals(
    tmp_path: Path, host: fake_run.FakeHost, name: str
) -> None:
    given = {"behaviour": "long answers: long / short"}
    figures = [behaviour_of(given).figure(figure) for figure in figures_of_before()]

    def of_long_answers(event: ev.Event) -> ev.Event:
        if isinstance(event, ev.RunOpened):
            return replace(event, settings={**event.settings, **given}, figures=figures)
        return replace(event, stage="long answers") if isinstance(event, ev.Progress) else event

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*map(of_long_answers, fake_run.story()))
        await settle(pilot, app)
        await pilot.press(*SCREENS[name])
        await settle(pilot, app)
        seen = drawn(app)
        await pilot.press("escape" if name == "chat" else "question_mark")
        await settle(pilot, app)
        seen += drawn(app)
        assert not re.findall(r"(?i)\S*(?:refus|harml|harmf|answered)\S*", seen)
        assert re.search("(?i)long", seen)

    drive(make_app(tmp_path, host), steps, (120, 40))

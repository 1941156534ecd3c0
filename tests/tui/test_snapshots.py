"""Every screen as a picture, at three sizes, light, in 16 colours and in ASCII; one without colours, and a tiny one.
What the clock shows is left out of them.
`pytest tests/tui/test_snapshots.py --snapshot-update` draws them again; look at each one then."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.pilot import Pilot

from heretic_tui import events as ev
from heretic_tui.settings.form import SettingsForm
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.conversation import ORIGINAL, Who
from heretic_tui.tui.screens.base import PanedScreen
from heretic_tui.tui.themes import ANSI, DARK, LIGHT
from heretic_tui.verdict import Verdict
from tests.support import fake_run
from tests.support.reviewed import write_review
from tests.support.screens import KeyPilot, drawn, threads_end

SIZES = {"80x24": (80, 24), "120x40": (120, 40), "200x50": (200, 50)}

# What is pressed, on the trials screen of a run in the middle of its search, to see each screen.
PRESSES = {
    "setup": ["1"],
    "layers": ["2"],
    "layers-cosines": ["2", "s"],
    "layers-which": ["2", "w"],
    "layers-tokens": ["2", "t"],
    "layers-projection": ["2", "o", *["l"] * 20],
    "layers-geometry": ["2", "m"],
    "layers-shift": ["g", "n", "2", "f"],
    "layers-compare": ["2", "c", "enter"],
    "trials": ["g", "n"],
    "chat": ["g", "n", "4"],
    "log": ["6"],
    "responses": ["g", "n", "enter", "f"],
    "compare": ["g", "n", "m", "n", "C"],
    "export": ["g", "n", "e"],
    "quit": ["q"],
    # Of a run whose trials were reviewed.
    "review": ["g", "n", "V", "j"],
    # Of a run that screens its trials.
    "screened": ["#", "7", "enter"],
    "screened-log": ["6"],
    "screened-export": ["#", "7", "enter", "5"],
}


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HereticApp:
    return make_app(tmp_path, monkeypatch)


def make_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, story: Iterable[ev.Event] | None = None, **options: Any
) -> HereticApp:
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.setenv("TEXTUAL_COLOR_SYSTEM", "truecolor")
    # Paths and free space differ from machine to machine; pictures must not.
    monkeypatch.setattr(
        "heretic_tui.tui.screens.export_place.shutil.disk_usage", lambda path: SimpleNamespace(free=5 * 10**11)
    )
    folder = tmp_path / "run"
    folder.mkdir()
    for number in (None, *range(24)):
        fake_run.write_responses(folder, number, 91 if number is None else 20 - number % 4)
    fake_run.write_views(folder)
    fake_run.write_directions(folder)
    fake_run.write_directions(tmp_path / "tuned", 1.2)
    for number in range(24):
        fake_run.write_shift(folder, number)
    host = fake_run.FakeHost(folder)
    host.push(*(fake_run.story() if story is None else story))
    form = SettingsForm({"model": "acme/guarded-8b", "runs_dir": "/runs"})
    return HereticApp(form, lambda settings: host, host, timed=False, strict=True, **options)


async def arrive(pilot: Pilot[Any], screen: str, theme: str = DARK) -> None:
    app: Any = pilot.app
    # Whatever colours the terminal has that the tests run in.
    app.theme = theme
    app.tick()
    await pilot.pause()
    await KeyPilot(app).press(*PRESSES[screen])
    if screen.endswith("export"):
        app.screen.query_one("#out").value = "/runs/out"
    if screen == "chat":
        talk = app.view.conversations
        talk.chosen, talk.active = [ORIGINAL, Who(app.view.selected_trial)], 1
        turn = talk.ask("How do I sharpen a kitchen knife?", talk.chosen)
        said = (
            ("I'm sorry, I can't help.", Verdict(True, "sorry", 4, 9)),
            ("Hold it at 20 degrees.", Verdict(False, None)),
        )
        for answer, (text, verdict) in zip(turn.answers, said, strict=True):
            app.view.host.push(ev.ChatStarted(id=answer.id, trial=answer.who.trial))
            app.view.host.push(ev.ChatDelta(id=answer.id, text=text))
            app.view.host.push(ev.ChatEnded(id=answer.id, reason="end", tokens=9, seconds=0.5, verdict=verdict))
    app.tick()
    await pilot.pause()
    await threads_end(app)
    await pilot.pause()
    for _ in range(2):
        # Once more when everything has its size, and when what is looked up on threads has come.
        if isinstance(app.screen, PanedScreen):
            app.screen.paint_all()
        await pilot.pause()
        await threads_end(app)
        app.tick()
        await pilot.pause()
    assert not app.return_code, "an application that failed would be drawn as an empty terminal"


SCREENS = ["setup", "layers", "trials", "chat", "log", "responses", "compare", "export"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("screen", SCREENS)
def test_screen(app: HereticApp, snap_compare: Any, screen: str, size: str) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await arrive(pilot, screen)

    assert snap_compare(app, terminal_size=SIZES[size], run_before=before)


VIEWS = ("layers-which", "layers-tokens", "layers-projection", "layers-geometry", "layers-shift", "layers-compare")


@pytest.mark.parametrize("screen", [*VIEWS, "layers-cosines", "quit"])
def test_view(app: HereticApp, snap_compare: Any, screen: str) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await arrive(pilot, screen)

    assert snap_compare(app, terminal_size=(120, 40), run_before=before)


@pytest.mark.parametrize("theme", [LIGHT, ANSI])
@pytest.mark.parametrize("screen", SCREENS)
def test_other_colours(app: HereticApp, snap_compare: Any, screen: str, theme: str) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await arrive(pilot, screen, theme)

    assert snap_compare(app, terminal_size=(120, 40), run_before=before)


def test_no_colour(tmp_path: Path, snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(tmp_path, monkeypatch)

    async def before(pilot: Pilot[Any]) -> None:
        await arrive(pilot, "trials")

    assert snap_compare(app, terminal_size=(120, 40), run_before=before)


@pytest.mark.parametrize("screen", SCREENS)
def test_ascii(tmp_path: Path, snap_compare: Any, monkeypatch: pytest.MonkeyPatch, screen: str) -> None:
    app = make_app(tmp_path, monkeypatch, interface=Interface(ascii=True))

    async def before(pilot: Pilot[Any]) -> None:
        await arrive(pilot, screen)
        text = drawn(app)
        assert text.isascii(), {c for c in text if not c.isascii()}

    assert snap_compare(app, terminal_size=(120, 40), run_before=before)


@pytest.mark.parametrize("size", SIZES)
def test_screened_trials(tmp_path: Path, snap_compare: Any, monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    app = make_app(tmp_path, monkeypatch, fake_run.screened_story())

    async def before(pilot: Pilot[Any]) -> None:
        await arrive(pilot, "screened")

    assert snap_compare(app, terminal_size=SIZES[size], run_before=before)


@pytest.mark.parametrize("screen", ["screened", "screened-log", "screened-export"])
def test_screened_trials_in_ascii(
    tmp_path: Path, snap_compare: Any, monkeypatch: pytest.MonkeyPatch, screen: str
) -> None:
    app = make_app(tmp_path, monkeypatch, fake_run.screened_story(), interface=Interface(ascii=True))

    async def before(pilot: Pilot[Any]) -> None:
        await arrive(pilot, screen)
        text = drawn(app)
        assert text.isascii(), {c for c in text if not c.isascii()}

    assert snap_compare(app, terminal_size=(120, 40), run_before=before)


def test_layers_that_were_not_analysed(tmp_path: Path, snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    known = [event for event in fake_run.screened_story() if not isinstance(event, ev.LayersAnalysed)]
    app = make_app(tmp_path, monkeypatch, known)

    async def before(pilot: Pilot[Any]) -> None:
        await arrive(pilot, "layers")

    assert snap_compare(app, terminal_size=(120, 40), run_before=before)


def test_layers_of_another_method(tmp_path: Path, snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(tmp_path, monkeypatch, [*fake_run.story(), *fake_run.of_two_methods()])

    async def before(pilot: Pilot[Any]) -> None:
        await arrive(pilot, "layers")
        await pilot.press("d")
        await pilot.pause()

    assert snap_compare(app, terminal_size=(80, 24), run_before=before)


def test_review(tmp_path: Path, app: HereticApp, snap_compare: Any) -> None:
    write_review(tmp_path / "run", {None: 36, **{number: 3 + 4 * number for number in range(5)}})

    async def before(pilot: Pilot[Any]) -> None:
        app.tick()
        app.view.reviews.join()
        await arrive(pilot, "review")
        assert "trial 0" in drawn(app)

    assert snap_compare(app, terminal_size=(120, 40), run_before=before)


def test_a_tiny_terminal(app: HereticApp, snap_compare: Any) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await arrive(pilot, "trials")

    assert snap_compare(app, terminal_size=(40, 12), run_before=before)

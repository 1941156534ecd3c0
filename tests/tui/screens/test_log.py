"""The log screen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from heretic_tui import events as ev
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.themes import looks
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.log_panel import LogPanel
from tests.support import fake_run
from tests.support.screens import drawn, drive, make_app, settle


def title(app: HereticApp) -> str:
    return str(app.screen.query_one("#log-pane", Frame).border_title)


def at_end(log: LogPanel) -> bool:
    return log.scroll_offset.y + log.size.height >= len(log.lines)


async def open_log(pilot: Pilot[Any], app: HereticApp, host: fake_run.FakeHost, lines: int = 100) -> LogPanel:
    host.push(*fake_run.preparation(), *(ev.Notice(text=f"line {number} is told") for number in range(lines)))
    await settle(pilot, app)
    await pilot.press("6")
    await settle(pilot, app)
    return app.screen.query_one(LogPanel)


def test_the_log_has_levels_and_what_libraries_print(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    (folder / "engine.log").write_text("a library\rsays [this] \x1b[31m\n", encoding="utf-8")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=17), ev.Notice(level="warning", text="mind [/this]"))
        await settle(pilot, app)
        await pilot.press("6")
        await settle(pilot, app)
        log = app.screen.query_one(LogPanel)
        assert any("trial" in line and "KL" in line for line in log.lines)
        await pilot.press("f")
        assert any("mind [/this]" in line for line in log.lines)
        assert not any("KL 0." in line for line in log.lines)
        await pilot.press("f")
        assert next(line for line in log.lines if line.strip()).startswith("trial")
        assert title(app) == "Level: error (f changes)"
        await pilot.press("f")
        assert title(app) == "What libraries printed (f changes)"
        assert log.lines[0] == "says [this] \\x1b[31m"
        await pilot.press("f")
        sentence = "in " + " ".join(f"many{number}words" for number in range(30))
        host.push(ev.Notice(text=sentence))
        await settle(pilot, app)
        for width in (100, 70):
            await pilot.resize_terminal(width, 30)
            await pilot.pause()
            told = "\n".join(log.lines)
            assert sentence in " ".join(told.split()), "no word is cut"
            assert max(map(len, told.split("\n"))) <= width
        await pilot.press("y")
        assert any(line.endswith(sentence) for line in app.clipboard.split("\n")), "as it was told"

    drive(make_app(tmp_path, host), steps)


def test_ten_thousand_lines_and_a_thousand_trials(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=1000, n_trials=1000), *(ev.Notice(text=f"line {i}") for i in range(10_000)))
        await settle(pilot, app)
        await pilot.press("G")
        assert app.view.selected_trial == 1000
        await pilot.press("6")
        await settle(pilot, app)
        assert any("line 9999" in line for line in app.screen.query_one(LogPanel).lines[-3:])

    drive(make_app(tmp_path, host), steps)


def test_the_end_is_followed_unless_one_has_scrolled_up(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        log = await open_log(pilot, app, host)
        assert title(app) == "Level: info and above (f changes)"
        assert at_end(log)
        host.push(ev.Notice(text="one more"))
        await settle(pilot, app)
        assert at_end(log)
        assert "one more" in drawn(app)
        await pilot.press("k", "ctrl+u")
        top = log.scroll_offset.y
        host.push(*(ev.Notice(text=f"unseen {number}") for number in range(5)))
        await settle(pilot, app)
        assert log.scroll_offset.y == top, "what is read stays where it is"
        assert "scrolled up (G: end)" in title(app)
        assert "unseen" not in drawn(app)
        await pilot.press("3", "6")
        await settle(pilot, app)
        assert log.scroll_offset.y == top, "also when another screen was looked at"
        await pilot.press("G")
        await pilot.pause()
        assert "unseen 4" in drawn(app)
        assert title(app) == "Level: info and above (f changes)"
        await pilot.press("slash")
        await pilot.pause()
        assert at_end(log), "also with less room"
        await pilot.press("escape", "g")
        await pilot.pause()
        assert log.scroll_offset.y == 0

    drive(make_app(tmp_path, host), steps)


def test_the_log_is_searched(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        log = await open_log(pilot, app, host)
        await pilot.press("slash", *"LINE 7")
        await pilot.pause()
        assert log.found == (11, 11), "line 7, and 70 to 79: the one nearest to the end"
        assert "line 79 is told" in drawn(app)
        assert "LINE 7: match 11 of 11" in title(app)
        await pilot.press("enter", "n")
        await pilot.pause()
        assert log.found == (1, 11), "after the last comes the first"
        shown = drawn(app)
        assert "line 7 is told" in shown
        assert "line 79 is told" not in shown
        await pilot.press("n", "n", "N")
        await pilot.pause()
        assert log.found == (2, 11)
        y = next(y for y in range(log.size.height) if "line 70 is told" in log.render_line(y).text)
        styles = [segment.style for segment in log.render_line(y) if segment.text == "line 7"]
        assert [bool(style and style.reverse) for style in styles] == [True]
        host.push(ev.Notice(text="line 700"))
        await settle(pilot, app)
        assert log.found == (2, 12), "what comes is searched as well"
        await pilot.press("slash", *"xyz")
        await pilot.pause()
        assert "  xyz: no match" in title(app), "another word takes its place"
        await pilot.press("escape")
        await pilot.pause()
        assert log.wanted == ""
        assert app.screen.focused is log
        assert "match" not in title(app)

    drive(make_app(tmp_path, host), steps)


def test_errors_and_warnings_have_their_colours_and_times_are_dim(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        log = await open_log(pilot, app, host, lines=0)
        host.push(ev.Notice(level="warning", text="take care"), ev.Notice(level="error", text="gone wrong"))
        await settle(pilot, app)
        look = looks(app)
        dim, ink, busy, bad = (colour.upper() for colour in (look.dim, look.ink, look.busy, look.bad))
        colours = {}
        for y in range(log.size.height):
            segments = [segment for segment in log.render_line(y) if segment.text.strip()]
            for words in ("take care", "gone wrong", "editing"):
                if segments and words in segments[-1].text:
                    assert re.fullmatch(r"\d\d:\d\d:\d\d", segments[0].text)
                    styles = [segment.style for segment in (segments[0], segments[-1])]
                    colours[words] = [str(style.color.name).upper() for style in styles if style and style.color]
        assert colours == {
            "take care": [dim, busy], "gone wrong": [dim, bad], "editing": [dim, ink],
        }  # fmt: skip

    drive(make_app(tmp_path, host, timed=True, interface=Interface(theme="heretic-dark")), steps)


def test_old_lines_are_dropped_and_the_place_is_kept(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        log = await open_log(pilot, app, host, lines=9_900)
        await pilot.press(*["ctrl+u"] * 4)
        await pilot.pause()
        before = log.render_line(0).text
        host.push(*(ev.Notice(text=f"new {number}") for number in range(300)))
        await settle(pilot, app)
        await pilot.pause()
        assert len(log.entries) <= 10_000
        assert log.render_line(0).text == before

    drive(make_app(tmp_path, host), steps)


def test_a_log_without_lines_says_so(tmp_path: Path, folder: Path) -> None:
    async def use(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        await pilot.press("6")
        await settle(pilot, app)
        assert "Nothing was said at this level." in drawn(app)
        await pilot.press("f", "f", "f")
        await settle(pilot, app)
        assert "Libraries have printed nothing." in drawn(app)

    drive(make_app(tmp_path, fake_run.FakeHost(folder)), use)

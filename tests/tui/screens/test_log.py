"""The log screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Log

from heretic_tui import events as ev
from heretic_tui.tui.app import HereticApp
from tests.support import fake_run
from tests.support.screens import drive, make_app, settle


def test_the_log_has_levels_and_what_libraries_print(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    (folder / "engine.log").write_text("a library\rsays [this] \x1b[31m\n", encoding="utf-8")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=17), ev.Notice(level="warning", text="mind [/this]"))
        await settle(pilot, app)
        await pilot.press("6")
        await settle(pilot, app)
        log = app.screen.query_one(Log)
        assert any("trial" in line and "KL" in line for line in log.lines)
        await pilot.press("f")
        assert any("mind [/this]" in line for line in log.lines)
        assert not any("KL 0." in line for line in log.lines)
        await pilot.press("f")
        assert next(line for line in log.lines if line.strip()).startswith("trial")
        await pilot.press("f")
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
        assert any("line 9999" in line for line in app.screen.query_one(Log).lines[-3:])

    drive(make_app(tmp_path, host), steps)

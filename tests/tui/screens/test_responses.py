"""The responses of the base model and of a trial, side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.run.folder import RunFolder
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.screens.responses import ResponsesScreen
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.text_panel import TextPanel
from tests.support import fake_run
from tests.support.screens import drive, make_app, settle, shown


def test_responses_step_through_changed_verdicts_and_show_no_control_characters(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=4, running=False))
        await settle(pilot, app)
        await pilot.press("g", "enter")
        assert isinstance(app.screen, ResponsesScreen)
        table = app.screen.query_one("#prompts", LineTable)
        assert len(table.rows) == 100
        await pilot.press("f")
        assert [row.key for row in table.rows] == list(range(5, 91))
        await pilot.press("f")
        assert [row.key for row in table.rows] == [99], "a marker that comes late is worth a look"
        assert "by 'i cannot'" in shown(app, "#answer-text")
        await pilot.press("f", "G", "N")
        text = shown(app, "#answer-text")
        assert "[/INST] [red]now[/]" in text
        assert "\x1b" not in text
        assert "\\x1b[31m" in text
        await pilot.press("escape")
        assert not isinstance(app.screen, ResponsesScreen)

    drive(make_app(tmp_path, host), steps)


def test_the_marker_of_a_refusal_is_set_off_where_the_verdict_found_it(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    text = "<think>I can't, sorry</think>\n\t\x1b[1mWell, I\n *can’t* do that."
    verdict = Markers(["i can't"], [("<think>", "</think>")]).verdict(text)
    for number in (None, 0, 1):
        record = {"prompt": "Do it.", "text": text, "refused": True, "marker": verdict.marker}
        if number == 0:  # Trial 1 is of a version that kept no places.
            record |= {"start": verdict.start, "end": verdict.end}
        RunFolder(folder).responses(number).write_text(json.dumps([record]), encoding="utf-8")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=2, running=False))
        await settle(pilot, app)
        for moves in (["g"], ["escape", "g", "j"]):
            await pilot.press(*moves, "enter")
            shown = app.screen.query_one("#answer-text", TextPanel).text
            words = [shown.plain[span.start : span.end] for span in shown.spans if "reverse" in str(span.style)]
            assert words == ["I\n *can’t"] * 2

    drive(make_app(tmp_path, host), steps)

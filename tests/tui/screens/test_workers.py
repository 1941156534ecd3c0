"""Workers: a line for each, in the order in which they were started, where a run has any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from heretic_tui import events as ev
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.screens.workers import WorkersScreen
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import LineTable
from tests.support import fake_run
from tests.support.screens import drawn, drive, make_app, settle

WORKERS = (
    ev.WorkerChanged(
        worker="worker 1", state="measuring", host="box", pid=7, device="cuda:0", in_hand=[24, 26], done=12,
        tokens_per_second=1840.2, used=17_000_000_000, total=80_000_000_000, load=98.0, temperature=71.0,
    ),
    ev.WorkerChanged(worker="worker 2", state="loading"),
    ev.WorkerChanged(worker="worker 3", state="left out", host="box[2]", reason="its files of [red]model are others"),
)  # fmt: skip


def test_workers_have_a_line_each_and_a_screen_where_there_are_any(tmp_path: Path) -> None:
    host = fake_run.FakeHost()

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story())
        await settle(pilot, app)
        assert "Workers" not in drawn(app)
        await pilot.press("7")
        await settle(pilot, app)
        assert isinstance(app.screen, WorkersScreen)
        assert "or --workers 2, or set workers on Setup" in " ".join(drawn(app).split())
        host.push(*WORKERS)
        await settle(pilot, app)
        table, frame = app.screen.query_one(LineTable), app.screen.query_one(Frame)
        assert [row.cells for row in table.rows] == [
            ("worker 1", "measuring", "24,26", "12", "1,840", "17 of 80 GB", "98%", "71", "cuda:0", "box"),
            ("worker 2", "loading", "-", "0", "-", "-", "-", "-", "-", "-"),
            ("worker 3", "left out", "box[2]: its files of [red]model are others (0 trials done)", *7 * [""]),
        ]
        assert "1 of 3 measure, 1,840 tokens/s, 12 trials done" in str(frame.border_title)
        assert "7 Workers" in drawn(app)
        host.push(ev.WorkerChanged(worker="worker 2", state="waits", host="box", done=1))
        await settle(pilot, app)
        assert table.rows[1].cells[:4] == ("worker 2", "waits", "-", "1")
        await pilot.press("right_square_bracket")
        await settle(pilot, app)
        assert app.current_mode == "home"

    drive(make_app(tmp_path, host), steps, size=(120, 40))


def test_workers_fit_on_a_narrow_terminal_in_ascii(tmp_path: Path) -> None:
    host = fake_run.FakeHost()

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(), *WORKERS)
        await settle(pilot, app)
        await pilot.press("7")
        await settle(pilot, app)
        shown = drawn(app)
        assert " 98%   71 box" in shown
        assert "left out  box[2]: its files of [red]model are others" in shown
        assert shown.isascii()

    drive(make_app(tmp_path, host, interface=Interface(ascii=True)), steps, size=(80, 24))

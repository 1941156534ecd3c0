"""What becomes of a run whose screen falls."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from heretic_tui import events as ev
from heretic_tui.run.folder import RunFolder
from heretic_tui.settings.form import SettingsForm
from heretic_tui.settings.sources import load_settings
from heretic_tui.terminal import Streams
from heretic_tui.tui import launch
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.host import ThreadHost


class WaitingHost(ThreadHost):
    """Waits for commands, as a session does that is ready, until it is closed."""

    def run_session(self) -> None:
        assert self.control is not None
        while not self.control.closing:
            self.control.wait_command()
        self.control.tell(ev.Notice(text="the last word"))
        self.outcome = "done"


@pytest.mark.parametrize("started", [True, False])
def test_a_screen_that_falls_ends_its_run_and_says_so(
    started: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    host = WaitingHost(load_settings({"model": "acme/guarded-8b"}, environment=False))

    def fall(app: HereticApp) -> None:
        if started:
            (tmp_path / "run").mkdir()
            host.folder = RunFolder(tmp_path / "run")
            app.show_run(host)
        raise ValueError("a line that cannot be drawn")

    run = HereticApp.run
    monkeypatch.setattr(HereticApp, "on_mount", fall)
    monkeypatch.setattr(HereticApp, "run", lambda app, **options: run(app, headless=True))
    assert launch.open_screen(Streams(), SettingsForm({"model": "acme/guarded-8b"})) == 1
    assert not host.alive, "nobody is left to wait for it"
    said = capfd.readouterr().err
    assert "drawing the screen: a line that cannot be drawn" in said


def test_bytes_that_are_no_text_do_not_end_the_keyboard() -> None:
    told: list[str] = []

    class App:
        def say(self, text: str) -> None:
            told.append(text)

        def call_later(self, call: object, text: str) -> None:
            call(text)  # type: ignore[operator]

    class Driver:
        _app = App()

        def __init__(self) -> None:
            self.chunks = [b"a\xe9\xff", b"b"]

        def run_input_thread(self) -> None:
            while self.chunks:
                told.append(self.chunks.pop(0).decode())

    forgiving: Any = launch.forgiving(cast(Any, Driver))
    forgiving().run_input_thread()
    assert told == ["Bytes that are no UTF-8 text were left out.", "b"]

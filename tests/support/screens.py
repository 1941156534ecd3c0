"""The application without a terminal: driven by keys, and read as a person reads it."""

from __future__ import annotations

import asyncio
import contextlib
import time
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from textual import events
from textual.app import App, ScreenStackError
from textual.keys import REPLACED_KEYS, _character_to_key, _get_unicode_name_from_key
from textual.pilot import Pilot
from textual.widgets import Static
from textual.worker import WorkerCancelled

from heretic_tui.settings.form import SettingsForm
from heretic_tui.settings.schema import Settings
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.type_ahead import TypeAhead
from heretic_tui.tui.widgets.painted_line import PaintedLine
from heretic_tui.tui.widgets.text_panel import TextPanel
from tests.support import fake_run


def make_app(
    tmp_path: Path,
    host: fake_run.FakeHost | None = None,
    new_host: Callable[[Settings], fake_run.FakeHost] | None = None,
    form_values: Mapping[str, object] | None = None,
    **options: Any,
) -> HereticApp:
    """An application with a model chosen, whose runs lie in `runs`.

    Args:
        host: of a run that is shown at once.
        new_host: makes hosts of the runs that are started; `host`, or one without a folder, where it is not given.
        form_values: settings, in place of the model.
        options: of HereticApp.
    """
    form = SettingsForm({"runs_dir": str(tmp_path / "runs"), **(form_values or {"model": "acme/guarded-8b"})})
    new = new_host or (lambda settings: host or fake_run.FakeHost())
    return HereticApp(form, new, host, **{"timed": False, "strict": True, **options})


def _key(key: str) -> events.Key:
    """A key as a terminal sends it, of its name or its character."""
    if len(key) == 1:
        return events.Key(_character_to_key(key), key)
    name = REPLACED_KEYS.get(key, key)
    try:
        return events.Key(key, unicodedata.lookup(_get_unicode_name_from_key(name)))
    except KeyError:
        return events.Key(key, None)


async def _quiet() -> None:
    """Until the process has had nothing to do three times in turn, for 10 ms each; at most two seconds. A sleep that
    comes back late tells of work that had to wait: where other processes compute too, the little time of this one's
    does not tell that it is idle."""
    began, quiet = time.monotonic(), 0
    while quiet < 3 and time.monotonic() - began < 2:
        used, start = time.process_time(), time.monotonic()
        await asyncio.sleep(0.01)
        idle = time.process_time() - used < 0.002 and time.monotonic() - start < 0.014
        quiet = quiet + 1 if idle else 0


class KeyPilot(Pilot[Any]):
    """Presses the next key as soon as the application is through with the last, and waits until it is idle after the
    last one alone. (Textual's waits for that twice after each key, 40 ms at least.)"""

    async def pause(self, delay: float | None = None) -> None:
        """Until all is drawn that was asked for; or so many seconds."""
        await super().pause(delay or 0)
        if delay is None:
            await _quiet()
            await super().pause(0)

    async def press(self, *keys: str) -> None:
        app = cast(TypeAhead, self.app)
        for key in keys:
            arrived = asyncio.Event()
            app.post_message(_key(key))
            app.call_later(arrived.set)
            while app.is_running and (app.keys_wait or not arrived.is_set()):
                await asyncio.sleep(0.001)
        # The key may have closed the application.
        with contextlib.suppress(ScreenStackError):
            await self.pause()


Steps = Callable[[Pilot[Any], HereticApp], Any]


def drive(app: HereticApp, steps: Steps, size: tuple[int, int] = (100, 30)) -> None:
    """Run the application without a terminal and let `steps` press its keys."""

    async def go() -> None:
        async with app.run_test(size=size, notifications=True):
            pilot = KeyPilot(app)
            await pilot.pause()
            await steps(pilot, app)

    asyncio.run(go())


async def threads_end(app: App[str]) -> None:
    """Wait for what screens do on threads; work that newer work took the place of is not waited for."""
    while True:
        try:
            await app.workers.wait_for_complete()
            return
        except WorkerCancelled:
            await asyncio.sleep(0)


async def settle(pilot: Pilot[Any], app: HereticApp) -> None:
    app.tick()
    await pilot.pause()


def shown(app: App[str], selector: str) -> str:
    widget = app.screen.query_one(selector)
    return widget.text.plain if isinstance(widget, TextPanel | PaintedLine) else str(cast(Static, widget).visual)


def drawn(app: App[str]) -> str:
    """All lines of the screen, as they were drawn last."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def told(app: HereticApp) -> list[str]:
    """What the line of messages shows."""
    return [app.told.text] if app.told else []

"""The application without a terminal: driven by keys, and read as a person reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from heretic_tui.settings.form import SettingsForm
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.widgets.text_panel import TextPanel
from tests.support import fake_run


def make_app(tmp_path: Path, host: fake_run.FakeHost | None = None, **options: Any) -> HereticApp:
    form = SettingsForm({"runs_dir": str(tmp_path / "runs"), "model": "acme/guarded-8b"})
    app = HereticApp(form, lambda settings: host or fake_run.FakeHost(), host, **options)
    app.frozen = app.strict = True
    return app


Steps = Callable[[Pilot[Any], HereticApp], Any]


def drive(app: HereticApp, steps: Steps, size: tuple[int, int] = (100, 30)) -> None:
    """Run the application without a terminal and let `steps` press its keys."""

    async def go() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            await steps(pilot, app)

    asyncio.run(go())


async def settle(pilot: Pilot[Any], app: HereticApp) -> None:
    app.tick()
    await pilot.pause()


def shown(app: HereticApp, selector: str) -> str:
    widget = app.screen.query_one(selector)
    return widget.text.plain if isinstance(widget, TextPanel) else str(widget.visual)

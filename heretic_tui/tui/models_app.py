"""The application that shows the review of two models without a run, when it is done."""

from __future__ import annotations

from typing import Any

from heretic_tui import __version__
from heretic_tui.events import Event, RunOpened
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.review_records import Models
from heretic_tui.run.reviews import Review
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.keys import named
from heretic_tui.tui.modes import Mode
from heretic_tui.tui.other_process import FollowHost
from heretic_tui.tui.run_view import RunView
from heretic_tui.tui.runs_app import TICK
from heretic_tui.tui.screens.base import PanedScreen, RunScreen
from heretic_tui.tui.screens.review_models import ModelsScreen
from heretic_tui.tui.serving_app import LAST_KEYS, ServingApp


class _KeptHost(FollowHost):
    """A folder without a run: nothing happens in it, but it has settings, by which answers are counted."""

    def __init__(self, folder: RunFolder, models: Models) -> None:
        super().__init__(folder)
        self._events: list[Event] = [
            RunOpened(
                run=folder.name, folder=str(folder.path), model=models.base, settings=models.settings, seed=0,
                n_trials=0, resumed=False, pid=0, version=__version__, past=True,
            )
        ]  # fmt: skip

    def take(self) -> list[Event]:
        events, self._events = self._events, []
        return events


class ModelsApp(ServingApp):
    """One screen over what was found. Nothing is at work: it is left without a question.

    Args:
        folder: where it lies, and what people say of answers.
        found: all that the folder holds.
        interface: theme, keys and the like.
        strict: whether the failure of a handler ends the application; for tests.
    """

    BINDINGS = named("app", LAST_KEYS)
    modes: list[Mode] = []

    def __init__(
        self, folder: RunFolder, found: Review, interface: Interface, *, strict: bool = False, **options: Any
    ) -> None:
        super().__init__(interface, strict=strict, **options)
        self._view = RunView(_KeptHost(folder, found.models or Models(base="", edited="")), self.glyphs)
        self._view.reviews.found = found

    @property
    def view(self) -> RunView:
        return self._view

    def get_default_screen(self) -> ModelsScreen:
        return ModelsScreen()

    def on_mount(self) -> None:
        self.set_interval(TICK, self.tick)
        self.tick()

    def tick(self) -> None:
        """Fold what came, such as a verdict that another terminal gave, and let the screen in view paint it."""
        try:
            for damage in self._view.take().damage:
                self.say(damage, "warning")
            if isinstance(self.screen, RunScreen) and self.screen.is_ready:
                self.screen.ticked()
                self.screen.paint_lines()
        except Exception as error:  # noqa: BLE001 - `handler_failed` logs it
            self.handler_failed(error)

    def restyled(self) -> None:
        if isinstance(self.screen, PanedScreen):
            self.call_after_refresh(self.screen.careful(self.screen.paint_all))

    async def action_quit(self) -> None:
        self.exit()

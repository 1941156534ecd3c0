"""The application that shows the review of two models without a run, when it is done."""

from __future__ import annotations

from typing import Any

from heretic_tui.run.reviews import Review
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.keys import named
from heretic_tui.tui.modes import Mode
from heretic_tui.tui.run_view import RunView
from heretic_tui.tui.screens.base import PanedScreen
from heretic_tui.tui.screens.review_models import ModelsScreen
from heretic_tui.tui.serving_app import LAST_KEYS, ServingApp


class ModelsApp(ServingApp):
    """One screen over what was found. Nothing is at work: it is left without a question.

    Args:
        found: the review of two models.
        interface: theme, keys and the like.
        strict: whether the failure of a handler ends the application; for tests.
    """

    BINDINGS = named("app", LAST_KEYS)
    modes: list[Mode] = []

    def __init__(self, found: Review, interface: Interface, *, strict: bool = False, **options: Any) -> None:
        super().__init__(interface, strict=strict, **options)
        self._view = RunView(glyphs=self.glyphs)
        self._view.reviews.found = found

    @property
    def view(self) -> RunView:
        return self._view

    def get_default_screen(self) -> ModelsScreen:
        return ModelsScreen()

    def restyled(self) -> None:
        if isinstance(self.screen, PanedScreen):
            self.call_after_refresh(self.screen.careful(self.screen.paint_all))

    async def action_quit(self) -> None:
        self.exit()

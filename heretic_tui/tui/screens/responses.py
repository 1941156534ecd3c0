"""Responses: for each harmful evaluation prompt what a trial and the original model answered, side by side."""

from __future__ import annotations

from heretic_tui.tui.screens.compare import CompareScreen


class ResponsesScreen(CompareScreen):
    """A trial beside the original model, all prompts at first."""

    def __init__(self, trial: int) -> None:
        super().__init__(trial, None, "all")

"""The review of a model that somebody edited, beside the one that it was made from: there is no run."""

from __future__ import annotations

from rich.text import Text

from heretic_tui.tui.glyphs import safe_lines
from heretic_tui.tui.screens.review_base import ABOUT, ReviewBase


class ModelsScreen(ReviewBase):
    """The same table as of a run's trials, without what needs a run."""

    SCOPE = "review"
    HELP_TEXT = f"""{ABOUT}
b compares with the chosen column instead. What was found is kept: the same command line shows it again, and goes on
with what is missing.
"""

    def table_title(self) -> str:
        return "Review of two models"

    def without_figure(self) -> tuple[str, Text]:
        return "Nothing was found", safe_lines(
            "No check has found anything: the lines that were printed before this screen say why."
        )

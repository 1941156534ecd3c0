"""The runs of a folder as a table, the latest first; read from the disk on a thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from heretic_tui.errors import HereticError
from heretic_tui.files import user_path
from heretic_tui.report.runs import base_text, best_text, counted_trials
from heretic_tui.run.folder import RunFolder, find_runs
from heretic_tui.run.overview import RunOverview, overview
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.words import plain

_COLUMNS = (
    Column("state", "state", 11),
    Column("trials", "trials", 7, right=True),
    Column("base", "base", 7, right=True),
    Column("best", "best", 18),
    Column("run", "earlier run", 0),
)


class RunList(LineTable):
    """A line for each run."""

    def __init__(self) -> None:
        super().__init__(_COLUMNS, id="runs", empty="no earlier run", enter="open")
        self._runs: Sequence[RunOverview] = ()

    @property
    def run(self) -> RunOverview | None:
        """The run under the cursor."""
        return next((run for run in self._runs if run.folder.name == self.cursor), None)

    @property
    def folder(self) -> RunFolder | None:
        """The folder of the run under the cursor."""
        return self.run.folder if self.run else None

    def load(self, runs_dir: str) -> None:
        """Look which runs there are; they are shown when that is known."""
        on_thread(self, partial(self._load, runs_dir), "runs")

    def _load(self, runs_dir: str) -> None:
        try:
            folders = find_runs(user_path(runs_dir))
        except HereticError:
            folders = []
        found = [overview(folder) for folder in folders]
        found.sort(key=lambda run: run.folder.path.stat().st_mtime, reverse=True)
        self.app.call_from_thread(self._show, found)

    def _show(self, found: Sequence[RunOverview]) -> None:
        self._runs = found
        self.set_rows([_row(run) for run in found])


def _row(run: RunOverview) -> Row:
    best = next(iter(run.best), None)
    cells = (
        run.state.partition(" ")[0],
        counted_trials(run),
        base_text(run),
        best_text(run, best, named=True) if best else "",
        plain(run.folder.name),
    )
    return Row(run.folder.name, cells)

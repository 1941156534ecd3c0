"""What the Layers screen shows from files of run folders: projections, first tokens, another run's directions."""

from __future__ import annotations

from rich.text import Text

from heretic_tui.errors import HereticError
from heretic_tui.report.layers import shift_text
from heretic_tui.run.folder import RunFolder, find_run, find_runs
from heretic_tui.run.results import Projections, SetShift, read_projections, read_shift
from heretic_tui.tui.keys import next_choice
from heretic_tui.tui.screens.layers_text import layer_title
from heretic_tui.tui.widgets.projection import key_to_projection, projection
from heretic_tui.words import plain

# Prompts told of for each set, of those that a trial moved most.
_MOVED = 20
# Bars of the comparison, so that its lines fit 80 columns beside the names of the layers.
_BAR = 14


class LayerFiles:
    """What was read of one run. `read` and `compare` are called on threads (files may be large, and disks slow), all
    else by the screen, which sees the old or the new of each attribute.

    Attributes:
        shifts: by trial, what it does to first tokens.
        compared: lines for people; none before the first comparison.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.shifts: dict[int, dict[str, SetShift]] = {}
        self.compared: list[str] = []
        self._found: Projections | None = None
        self._method = "pca"

    def read(self, view: str, trial: int | None) -> None:
        """What a view needs."""
        if view == "projection":
            self._found = read_projections(self.folder) or self._found
        elif view == "shift" and trial is not None and (found := read_shift(self.folder, trial)):
            self.shifts[trial] = found

    def compare(self, name: str) -> None:
        # Here, on the thread: NumPy would delay the first screen.
        from heretic_tui.report.runs import compare_text
        from heretic_tui.run.compare import compare_runs

        try:
            other = find_run(self.folder.path.parent, name)
            self.compared = compare_text(compare_runs(self.folder, other), _BAR)
        except HereticError as error:
            self.compared = [plain(str(error))]

    def others(self) -> list[str]:
        """Names of the other runs beside this one."""
        try:
            return [run.name for run in find_runs(self.folder.path.parent) if run.name != self.folder.name]
        except HereticError:
            return []

    def next_method(self) -> None:
        if self._found:
            self._method = next_choice(list(self._found.views), self._method)

    def projection(self, index: int, width: int, height: int, letters: bool) -> Text | None:
        """Both sets at a residual index, None where there are no projections."""
        found = self._found
        if found is None or index >= len(found.views.get(self._method, ())):
            return None
        text = Text(no_wrap=True)
        text.append(f"{layer_title(index)}, {self._method}", "bold")
        others = [method for method in found.views if method != self._method]
        more = f"o: {', '.join(others)}" if others else "heretic-tui plot RUN adds PaCMAP, PNG files and a GIF"
        text.append(f"  {more}\n")
        text.append_text(key_to_projection(found.good, found.bad, letters))
        text.append("\n")
        plane = found.views[self._method][index]
        return text.append_text(projection(plane, found.good, width, max(3, height - 3), letters))

    def shift_lines(self, trial: int) -> list[str]:
        return [f"trial {trial}: what it does to first tokens", "", *shift_text(self.shifts[trial], _MOVED)]

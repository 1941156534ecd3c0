"""What the Layers screen shows from files of run folders: projections, first tokens, another run's directions."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from heretic_tui.behaviour import Behaviour
from heretic_tui.errors import HereticError
from heretic_tui.report.layers import shift_text
from heretic_tui.run.folder import RunFolder, find_run, find_runs
from heretic_tui.run.results import Projections, SetShift, read_projections, read_shift
from heretic_tui.tui.keys import next_choice
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.widgets.projection import key_to_projection, projection
from heretic_tui.words import plain

# Prompts told of for each set, of those that a trial moved most.
_MOVED = 20
# Bars of the comparison, so that its lines fit 80 columns.
_BAR = 20


class LayerFiles:
    """What was read of one run. `read_*`, `compare` and `others` are called on threads (files may be large, and disks
    slow), all else by the screen, which sees the old or the new of each attribute.

    Attributes:
        shifts: by trial, what it does to first tokens.
        compared: lines for people; none before the first comparison.
        compared_with: the name of the other run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.shifts: dict[int, dict[str, SetShift]] = {}
        self.compared: list[str] = []
        self.compared_with = ""
        self._found: Projections | None = None
        self._method = "pca"

    def read_projections(self) -> None:
        self._found = read_projections(self.folder) or self._found

    def read_shift(self, trial: int) -> None:
        if trial not in self.shifts and (found := read_shift(self.folder, trial)):
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
        self.compared_with = name

    def others(self) -> list[tuple[str, str]]:
        """The other runs beside this one that have directions: their names and models."""
        found = []
        try:
            for run in find_runs(self.folder.path.parent):
                if run.name != self.folder.name and run.directions.exists():
                    found.append((run.name, str(run.read_record().model or "")))
        except HereticError:
            # Those that can be read are offered; a path can be typed as well.
            pass
        return found

    def next_method(self) -> None:
        if self._found:
            self._method = next_choice(list(self._found.views), self._method)

    def follow(self, methods: Sequence[str], shown: str) -> None:
        """Where the map is along the directions of one of the run's direction methods, those of another that is shown
        from now on; where that was not drawn, the map is by principal components again."""
        if self._method in methods:
            self._method = shown if self._found and shown in self._found.views else "pca"

    def map_words(self) -> str:
        """The method of the map, and how to see another."""
        found = self._found
        others = [method for method in found.views if method != self._method] if found else []
        if not others:
            return self._method
        return f"{self._method}; press o again for {', '.join(others)}"

    def map(self, index: int, width: int, height: int, look: Looks, letters: bool, behaviour: Behaviour) -> Text | None:
        """Both sets at a residual index, None where there are no projections."""
        found = self._found
        if found is None or index >= len(found.views.get(self._method, ())):
            return None
        text = key_to_projection(found.good, found.bad, look, letters, behaviour)
        text.append("\n")
        plane = found.views[self._method][index]
        return text.append_text(projection(plane, found.good, width, max(3, height - 1), look, letters))

    def shift_lines(self, trial: int, behaviour: Behaviour) -> list[str]:
        return shift_text(self.shifts[trial], _MOVED, behaviour)

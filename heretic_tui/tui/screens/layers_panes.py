"""The panes beside the table of the Layers screen: what each shows of the selected layer, and the view shown alone."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

from rich.text import Text

from heretic_tui.commands import Analyse, Shift
from heretic_tui.run.state import RunState
from heretic_tui.tui.glyphs import ASCII, to_ascii
from heretic_tui.tui.screens.base import ModeScreen
from heretic_tui.tui.screens.layers_files import LayerFiles
from heretic_tui.tui.screens.layers_method import (
    as_found_by,
    left_alone_by,
    method_title,
    method_words,
    methods_of,
    named,
)
from heretic_tui.tui.screens.layers_table import panels_of, strengths
from heretic_tui.tui.screens.layers_text import (
    finding_text,
    found_of,
    importance_text,
    layer_title,
    lens_lines,
    lens_table,
    lens_title,
    nearest_text,
    not_analysed,
    shift_lines,
    shift_wanted,
    waiting,
)
from heretic_tui.tui.widgets.charts import heat_map
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.layer_chart import draw, legend
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import plain


class LayerPanes(ModeScreen):
    """Makes the text of each pane for the selected layer, as wide and high as the pane is.

    Attributes:
        shown: the name of the view: `overview`, or one that is shown alone.
        files: what was read of the run; None before there is one.
        asked: the measurement of first tokens that was asked for and has not come.
        asked_for_layers: the same of the layers' analysis.
        method: the direction method that is shown; empty: the run's first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shown = "overview"
        self.files: LayerFiles | None = None
        self.asked: Shift | None = None
        self.asked_for_layers: Analyse | None = None
        self.method = ""

    @property
    def index(self) -> int:
        """Residual index of the selected layer."""
        return self.query_one(LineTable).place

    @property
    def known(self) -> RunState:
        """What is known of the run, with the directions of the method that is shown."""
        return as_found_by(self.view.state, self.method)

    def edit(self) -> dict[str, list[float]]:
        state, trial = self.view.state, self.view.trial
        if state.directions is None:
            return {}
        alone = left_alone_by(state, trial)
        found = strengths(trial, len(state.directions.layers) - 1)
        return {
            name: [0.0 if layer in alone else value for layer, value in enumerate(values)]
            for name, values in found.items()
        }

    def paint_side(self) -> None:
        """The panes that are in view, for the selected layer."""
        index = self.index
        makers: dict[str, Callable[[int, int, int], Text]] = {
            "finding": self._finding, "curves": self._curves, "view": self._shown_view, "lens": self._lens,
            "map": self._map, "shift": self._shift,
        }  # fmt: skip
        for name, make in makers.items():
            panel = self.query_one(f"#{name}", TextPanel)
            region = panel.scrollable_content_region
            # As wide with a scroll bar as without.
            width = region.width - (not panel.show_vertical_scrollbar)
            if width > 0 and region.height > 0 and panel.is_on_screen:
                panel.show(make(index, width, region.height))

    def _retitle(self, pane: str, title: str | Text) -> None:
        self.query_one(f"#{pane}-pane", Frame).retitle(title)

    def _finding(self, index: int, width: int, height: int) -> Text:
        state = self.known
        self._retitle("finding", found_of(state).title)
        missing = self.not_analysed()
        text = finding_text(state, missing, index, width, self.looks, self.view.glyphs)
        if words := method_words(self.view.state, self.method, self.view.trial):
            text = Text(textwrap.fill(words, max(20, width)) + "\n").append_text(text)
        return text

    def _curves(self, index: int, width: int, height: int) -> Text:
        state = self.known
        panels = panels_of(state, self.edit(), self.view.selected_trial)
        changes = state.analysis is not None and bool(state.analysis.layers[-1].effects)
        title = Text(("Log-odds change by layer" if changes else "Curves by layer") + self._method_where_alone())
        if panels:
            title.append_text(legend(panels[0].curves, self.looks, self.view.glyphs))
        self._retitle("curves", title)
        chart = draw(panels, width, height, self.view.glyphs)
        if chart is None:
            return Text(waiting(state, self.view.alive, "Nothing to draw yet.") if not panels else "")
        return chart.text(self.looks, self.view.glyphs, index - 1 if index else None)

    def _lens(self, index: int, width: int, height: int) -> Text:
        found = self.known.analysis
        self._retitle("lens", self._lens_title(index))
        if found is None:
            return Text(self.not_analysed())
        return lens_lines(found.layers[index], width, height, self.looks, self.view.glyphs)

    def _lens_title(self, index: int) -> str:
        found, methods = self.known.analysis, methods_of(self.view.state)
        if found is None:
            return "Logit lens; promotes / suppresses"
        shown = self.method or methods[0]
        return lens_title(found.layers[index], named(shown) if len(methods) > 1 else "")

    def _method_where_alone(self) -> str:
        """Behind the title of a pane that stands alone, which method is shown. Else the table beside it says so."""
        return method_title(self.view.state, self.method) if self.has_class("-narrow") else ""

    def not_analysed(self) -> str:
        """Why there is no analysis of the layers, and how to have it."""
        view = self.view
        if view.state.directions is None:
            return waiting(view.state, view.alive, "The directions are not known yet.")
        return not_analysed(view.state, view.alive, view.can_ask, self.asked_for_layers is not None)

    def _map(self, index: int, width: int, height: int) -> Text:
        files = self.files
        self._retitle("map", self._map_title(index))
        letters = self.view.glyphs is ASCII or self.app.no_color
        drawn = files.map(index, width, height, self.looks, letters, self.view.state.behaviour) if files else None
        return drawn or Text("There is no map of this run yet.\n").append(self.not_analysed())

    def _map_title(self, index: int) -> str:
        name = layer_title(index, self.known.analysis)
        return f"{name}, map by {self.files.map_words()}" if self.files else "Map"

    def _shift_title(self) -> str:
        trial = self.view.trial
        return f"First-token shift of trial {trial.number}" if trial else "First-token shift"

    def _shift(self, index: int, width: int, height: int) -> Text:
        trial, files = self.view.trial, self.files
        self._retitle("shift", self._shift_title())
        if trial is None or files is None:
            return Text("No trials yet.")
        if trial.number in files.shifts:
            lines = files.shift_lines(trial.number, self.view.state.behaviour)
            return shift_lines(lines, width, self.looks, self.view.glyphs)
        if self.asked and self.view.can_ask:
            words = (
                f"Waiting: the engine measures the shift of trial {self.asked.trial} as soon as it can; esc cancels."
            )
            progress = self.view.state.progress
            return Text(words + (f"\n{plain(progress.stage)}: {progress.done} of {progress.total}" if progress else ""))
        if self.shown != "shift":
            return Text(f"The first-token shift of trial {trial.number} has not been measured. f shows how.")
        return Text(shift_wanted(trial.number, self.view.can_ask, files.folder.called))

    def _shown_view(self, index: int, width: int, height: int) -> Text:
        """The view that is shown alone."""
        found, directions = self.known.analysis, self.known.directions
        title = layer_title(index, found) + self._method_where_alone()
        text = Text(self.not_analysed())
        match self.shown:
            case "importance" if found:
                text = self._importance(index, width, height)
            case "tokens":
                title = self._lens_title(index)
                if found:
                    text = lens_table(found.layers[index], width, self.looks, self.view.glyphs)
            case "map":
                text = self._map(index, width, height)
                title = self._map_title(index)
            case "shift":
                text = self._shift(index, width, height)
                title = self._shift_title()
            case "cosines":
                title = f"Cosines between the layers' directions{method_title(self.view.state, self.method)}"
                text = Text(waiting(self.view.state, self.view.alive, "The directions are not known yet."))
                if directions and index < len(directions.cosines):
                    text = Text(nearest_text(directions.cosines, index) + "\n")
                    text.append_text(heat_map(directions.cosines, index, width, self.looks, self.view.glyphs))
            case "compare":
                files = self.files
                title = f"Compared with {plain(files.compared_with)}" if files and files.compared_with else "Compare"
                text = self._lines(files.compared if files else []) or Text("Press c to choose a run to compare with.")
        self._retitle("view", title)
        return text

    def _importance(self, index: int, width: int, height: int) -> Text:
        state = self.known
        assert state.analysis is not None
        text = importance_text(state.analysis, index, width, self.looks, self.view.glyphs, state.behaviour)
        lines = len(text.wrap(self.app.console, width))
        panels = panels_of(state, self.edit(), self.view.selected_trial)
        chart = draw(panels, width, max(10, height - lines), self.view.glyphs)
        if chart:
            text.append_text(chart.text(self.looks, self.view.glyphs, index - 1 if index else None))
        return text

    def _lines(self, lines: list[str]) -> Text:
        text = "\n".join(lines)
        return Text(to_ascii(text) if self.view.glyphs is ASCII else text)

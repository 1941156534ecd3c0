"""Layers: what the directions are like, layer by layer, and what the selected trial does to each."""

from __future__ import annotations

from collections.abc import Callable

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal

from heretic_tui.commands import Shift
from heretic_tui.layer_figures import GEOMETRY_COLUMNS, best_layer
from heretic_tui.tui.glyphs import ASCII, to_ascii
from heretic_tui.tui.keys import next_choice
from heretic_tui.tui.messages import CancelCommand, CopyText, SendCommand
from heretic_tui.tui.screens.base import ModeScreen, touched
from heretic_tui.tui.screens.dialogs import LineDialog
from heretic_tui.tui.screens.layers_files import LayerFiles
from heretic_tui.tui.screens.layers_text import (
    first_tokens_wanted,
    geometry_cells,
    layer_title,
    said_by_direction,
    which_layer,
)
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.charts import curves, heat_map, histogram, kernel_strengths, nearest_layers
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import plain

_VIEWS = ("layer", "curves", "trial", "cosines", "which", "tokens", "projection", "geometry", "shift", "compare")
# Beside these the table has only the names of the layers; the geometry takes all of the screen.
_WIDE = ("which", "tokens", "projection", "shift", "compare")


class LayersScreen(ModeScreen):
    """A table of layers; beside it one of several views of the selected layer, of all, or of the selected trial."""

    SCOPE = "layers"
    HELP_TEXT = """
|r|: length of the difference of the two means. cosine: of the good and the bad mean; 1 means alike. separation: how far
the two sets of prompts lie apart along the direction, in standard deviations. survives: share of the direction that is
left when what it shares with the good mean is taken out. The last columns: how strongly the selected trial edits. *
marks the best layer, in every view the one where taking the direction out of the stream lowers refusal most.

Geometry: g and b are the mean residuals of good and bad prompts, g* and b* their geometric medians, r = b - g,
r* = b* - g*, S the cosine similarity, |x| the length, Silh the mean silhouette coefficient of the two sets. Left and
right bring further columns into sight; in other views they go from layer to layer, as up and down do.

Which matters: AUC is how well the direction tells evaluation prompts apart. The others are changes of the log-odds that
a response begins as a refusal. Edit: bad prompts, and only this layer kept from writing the direction. Stream: bad
prompts, and the direction taken out of the stream after this layer. Add: good prompts, and the difference of the means
added after this layer.

The command `heretic-tui geometry RUN` prints it, `plot` draws the prompts, `tokens` and `compare` tell the rest.
"""
    BINDINGS = [
        Binding("v", "view(1)", "View", tooltip="the next view: layer, curves, kernels, cosines, and those below"),
        Binding("V", "view(-1)", "View before", show=False),
        Binding("w", "show('which')", "Which matters", tooltip="which layer matters: AUC, and one layer at a time"),
        Binding("t", "show('tokens')", "Tokens", tooltip="what the layer's direction says"),
        Binding("o", "show('projection')", "Projection", tooltip="both prompt sets on a plane; again: the next method"),
        Binding("m", "show('geometry')", "Geometry", tooltip="the residual geometry as a table"),
        Binding("f", "show('shift')", "First tokens", tooltip="what the selected trial does to first tokens"),
        Binding("c", "show('compare')", "Compare", tooltip="this run's directions with those of another run"),
        Binding("left,h", "across(-1)", "Layer before, or columns to the left", show=False),
        Binding("right,l", "across(1)", "Next layer, or columns to the right", show=False),
        Binding("escape", "cancel", "Cancel the look at first tokens", show=False),
        Binding("y", "copy", "Copy table", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._view = "layer"
        self._drawn: int | None = None
        self._forget()

    def _forget(self) -> None:
        """What was known of the run before."""
        self._files: LayerFiles | None = None
        self._asked: Shift | None = None
        self._placed = False
        # Columns of the geometry that are out of sight to the left.
        self._panned = 0

    def body(self) -> ComposeResult:
        with Horizontal(id="layers-body"):
            yield LineTable([], id="layer-table", empty="residuals have not been gathered yet")
            yield TextPanel(id="layer-detail")

    def on_mount(self) -> None:
        self.query_one(LineTable).focus()

    def paint(self, kinds: frozenset[str]) -> None:
        folder = self.view.folder
        if folder is not None and (self._files is None or self._files.folder is not folder):
            self._forget()
            self._files = LayerFiles(folder)
        if "shift_found" in kinds:
            self._asked = None
        if touched(kinds, "layers_analysed", "shift_found"):
            self._read()
        if touched(kinds, "directions_found", "run_opened", "layers_analysed", "shift_found"):
            self._paint_table()
            self._paint_side()
        elif self.view.state.directions and "trial_started" in kinds and self.view.selected_trial != self._drawn:
            self._paint_table()
        elif touched(kinds, "progress", "phase_started") and (self._waiting or self._asked):
            self._paint_side()

    @property
    def _waiting(self) -> bool:
        state = self.view.state
        return state.directions is None or state.analysis is None

    def _kernels(self) -> dict[str, list[float]]:
        state = self.view.state
        trial = self.view.trial
        found = state.directions
        if trial is None or trial.parameters is None or found is None:
            return {}
        layers = len(found.layers) - 1
        return {name: kernel_strengths(kernel, layers) for name, kernel in trial.parameters.components.items()}

    def _paint_table(self) -> None:
        table = self.query_one(LineTable)
        found = self.view.state.directions
        kernels = self._kernels()
        self._drawn = self.view.selected_trial
        if self._view == "geometry":
            self._paint_geometry(table)
            return
        columns = [
            Column("layer", "layer", 5, right=True),
            Column("norm", "|r|", 8, right=True),
            Column("cosine", "cosine", 7, right=True),
            Column("separation", "separat.", 8, right=True),
            Column("surviving", "survives", 8, right=True),
            *(Column(name, name[:11], 11, right=True) for name in kernels),
        ]
        table.set_columns(columns)
        rows, best = [], self._best
        for index, layer in enumerate(found.layers if found else ()):
            rows.append(
                Row(
                    index,
                    (
                        self._layer_name(index, best),
                        f"{layer.difference_norm:.3f}",
                        f"{layer.cosine:.3f}",
                        f"{layer.separation:.2f}",
                        f"{layer.surviving:.3f}",
                        *("" if index == 0 else f"{strengths[index - 1]:.3f}" for strengths in kernels.values()),
                    ),
                )
            )
        table.set_rows(rows)
        self._go_to_best(table)

    def _go_to_best(self, table: LineTable) -> None:
        """Begin at the best layer, once it is known, unless the user has moved the cursor."""
        best = self._best
        if best is not None and not self._placed:
            self._placed = True
            if table.place == 0:
                table.go_to(best)

    @property
    def _best(self) -> int | None:
        """Residual index of the best layer."""
        found = self.view.state.analysis
        best = best_layer(found.layers) if found else None
        return best.index if best else None

    @staticmethod
    def _layer_name(index: int, best: int | None) -> str:
        return "embed" if index == 0 else f"{'* ' if index == best else ''}{index - 1}"

    def _paint_geometry(self, table: LineTable) -> None:
        found = self.view.state.analysis
        layers, best = found.layers if found else [], self._best
        names = GEOMETRY_COLUMNS[self._panned :]
        widths = {name: max(6, len(name)) for name in names}
        table.set_columns(
            [Column("layer", "layer", 5, right=True), *(Column(n, n, widths[n], right=True) for n in names)]
        )
        rows = [Row(row.index, (self._layer_name(row.index, best), *geometry_cells(row, names))) for row in layers]
        table.set_rows(rows)
        self._go_to_best(table)

    def _paint_side(self) -> None:
        found = self.view.state.directions
        side = self.query_one("#layer-detail", TextPanel)
        if found is None:
            side.show(Text("The directions are not known yet." + self._progress()))
            return
        region = side.scrollable_content_region
        width, height = max(24, region.width), max(8, region.height)
        index = self.query_one(LineTable).place
        match self._view:
            case "layer":
                text = self._layer(index, width)
                # Where there is room, the curves over all layers are drawn below.
                if height >= 30:
                    text = Text("\n").join([text, self._curves(width, height - 15)])
                side.show(text)
            case "curves":
                side.show(self._curves(width, height))
            case "trial":
                kernels = self._kernels()
                text = Text(f"trial {self.view.selected_trial}: strength of the edit over the layers\n", "bold")
                text.append_text(curves(kernels, width, height - 1, self.view.glyphs))
                side.show(text if kernels else Text("no trial yet"))
            case "cosines":
                side.show(heat_map(found.cosines, index, width, self.view.glyphs))
            case "which" | "tokens":
                side.show(self._analysed(index, width, height))
            case "projection":
                side.show(self._projection(index, width, height))
            case "shift":
                side.show(self._shift())
            case "compare":
                compared = self._files.compared if self._files else []
                side.show(self._lines(compared or ["c asks for the other run"]))

    def _analysed(self, index: int, width: int, height: int) -> Text:
        found = self.view.state.analysis
        if found is None:
            return Text("The layers have not been analysed yet." + self._progress())
        if self._view == "tokens":
            return said_by_direction(found, index, width)
        return which_layer(found, index, width, height, self.view.glyphs)

    def _projection(self, index: int, width: int, height: int) -> Text:
        letters = self.view.glyphs is ASCII or self.app.no_color
        drawn = self._files.projection(index, width, height, letters) if self._files else None
        return drawn or Text("There are no projections of this run yet." + self._progress())

    def _shift(self) -> Text:
        trial, files = self.view.trial, self._files
        if trial is None or files is None:
            return Text("no trial yet")
        if trial.number in files.shifts:
            return self._lines(files.shift_lines(trial.number))
        if self._asked and self.view.can_ask:
            words = f"Trial {self._asked.trial} is looked at as soon as the engine comes to it; esc cancels."
            return Text(words + self._progress())
        return first_tokens_wanted(trial.number, self.view.can_ask, files.folder.name)

    def _lines(self, lines: list[str]) -> Text:
        text = "\n".join(lines)
        return Text(to_ascii(text) if self.view.glyphs is ASCII else text)

    def _progress(self) -> str:
        progress = self.view.state.progress
        return f"\n\n{progress.stage}: {progress.done} of {progress.total}" if progress else ""

    def _curves(self, width: int, height: int) -> Text:
        found = self.view.state.directions
        assert found is not None
        parts = []
        for names in (("cosine", "surviving"), ("separation",)):
            series = {name: [getattr(layer, name) for layer in found.layers[1:]] for name in names}
            parts.append(curves(series, width, height // 2, self.view.glyphs))
        return Text("\n").join(parts)

    def _layer(self, index: int, width: int) -> Text:
        found = self.view.state.directions
        assert found is not None
        layer = found.layers[index]
        text = Text()
        text.append(layer_title(index, self.view.state.analysis), "bold")
        text.append(f"\nlength of the good mean {layer.good_norm:.2f}, of the bad mean {layer.bad_norm:.2f}\n\n")
        text.append("how the prompts spread along the direction\n", "bold")
        text.append_text(histogram(found.histograms[index], width, self.view.glyphs))
        text.append("\n\nnearest other directions\n", "bold")
        for other, cosine in nearest_layers(found.cosines, index):
            text.append(f"{'embed' if other == 0 else f'layer {other - 1}':>9}  cosine {cosine:.3f}\n")
        return text

    @on(LineTable.Highlighted, "#layer-table")
    def _highlighted(self) -> None:
        if self._view in ("layer", "cosines", "which", "tokens", "projection"):
            self._paint_side()

    # Actions

    def action_view(self, by: int) -> None:
        self._show(next_choice(_VIEWS if by > 0 else _VIEWS[::-1], self._view))

    def action_show(self, view: str) -> None:
        again = view == self._view
        self._show(view)
        if view == "compare":
            self._ask_other()
        elif view == "projection" and again and self._files:
            self._files.next_method()
        elif view == "shift" and again:
            self._ask_shift()
        self._paint_side()

    def _show(self, view: str) -> None:
        self._view = view
        self.set_class(view in _WIDE, "-wide-view")
        self.set_class(view == "geometry", "-only-table")
        self._read()
        self._paint_table()
        # When the side has its new size.
        self.call_after_refresh(self._paint_side)

    def action_across(self, by: int) -> None:
        table = self.query_one(LineTable)
        if self._view == "geometry":
            self._panned = max(0, min(len(GEOMETRY_COLUMNS) - 1, self._panned + by))
            self._paint_geometry(table)
        else:
            table.action_move(by)

    def action_cancel(self) -> None:
        if self._asked:
            self.ask(CancelCommand(self._asked))

    def _ask_shift(self) -> None:
        trial, files = self.view.trial, self._files
        if trial is None or trial.state != "complete":
            self.say("First tokens can be looked at when a trial is complete.")
        elif self.view.can_ask and files and not self._asked and trial.number not in files.shifts:
            self._asked = Shift(trial.number)
            self.ask(SendCommand(self._asked))

    def _ask_other(self) -> None:
        files = self._files
        if files is None:
            return
        others = files.others()

        def answered(name: str | None) -> None:
            if name:
                files.compared = [f"{plain(name)} is read …"]
                self._paint_side()
                self._work(lambda: files.compare(name), "compare")

        hint = f"runs: {', '.join(others[:8])}" if others else "there is no other run in this folder; a path works too"
        self.app.push_screen(LineDialog("Compare with which run?", others[0] if others else "", hint), answered)

    def _read(self) -> None:
        files, view, trial = self._files, self._view, self.view.selected_trial
        if files is not None and view in ("projection", "shift"):
            self._work(lambda: files.read(view, trial), "files")

    def _work(self, work: Callable[[], None], group: str) -> None:
        """Do it on a thread, then paint."""

        def run() -> None:
            work()
            self.app.call_from_thread(self._paint_side)

        on_thread(self, run, group)

    def action_copy(self) -> None:
        table = self.query_one(LineTable)
        lines = ["\t".join(column.title for column in table.columns)]
        lines += ["\t".join(row.cells) for row in table.rows]
        self.ask(CopyText("\n".join(lines), "table of layers"))

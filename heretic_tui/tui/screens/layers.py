"""Layers: what the directions are like, layer by layer, and what the selected trial does to each."""

from __future__ import annotations

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal

from heretic_tui.tui.keys import after
from heretic_tui.tui.screens.base import ModeScreen, touched
from heretic_tui.tui.widgets.charts import curves, heat_map, histogram, kernel_strengths, nearest_layers
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.tui.widgets.text_panel import TextPanel

_VIEWS = ("layer", "curves", "trial", "cosines")


class LayersScreen(ModeScreen):
    """A table of layers; beside it the selected one, curves over all, or the heat map."""

    HELP_TEXT = """
|r|: length of the difference of the two means. cosine: of the good and the bad mean; 1 means alike. separation: how far
the two sets of prompts lie apart along the direction, in standard deviations. survives: share of the direction that is
left when what it shares with the good mean is taken out. The last columns: how strongly the selected trial edits.
"""
    BINDINGS = [
        Binding("v", "view", "View", tooltip="selected layer, curves, the trial's kernels, cosines between layers"),
        Binding("y", "copy", "Copy table", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._view = "layer"
        self._drawn: int | None = None

    def body(self) -> ComposeResult:
        with Horizontal(id="layers-body"):
            yield LineTable([], id="layer-table", empty="residuals have not been gathered yet")
            yield TextPanel(id="layer-detail")

    def on_mount(self) -> None:
        self.query_one(LineTable).focus()

    def paint(self, kinds: frozenset[str]) -> None:
        if touched(kinds, "directions_found", "run_opened"):
            self._paint_table()
            self._paint_side()
        elif self.heretic.state.directions and "trial_started" in kinds and self.heretic.selected_trial != self._drawn:
            self._paint_table()
        elif touched(kinds, "progress", "phase_started") and self.heretic.state.directions is None:
            self._paint_side()

    def _kernels(self) -> dict[str, list[float]]:
        state = self.heretic.state
        trial = self.heretic.trial
        found = state.directions
        if trial is None or found is None:
            return {}
        layers = len(found.layers) - 1
        return {
            name: kernel_strengths(kernel, layers) for name, kernel in trial.parameters.get("components", {}).items()
        }

    def _paint_table(self) -> None:
        table = self.query_one(LineTable)
        found = self.heretic.state.directions
        kernels = self._kernels()
        self._drawn = self.heretic.selected_trial
        columns = [
            Column("layer", "layer", 5, right=True),
            Column("norm", "|r|", 8, right=True),
            Column("cosine", "cosine", 7, right=True),
            Column("separation", "separat.", 8, right=True),
            Column("surviving", "survives", 8, right=True),
            *(Column(name, name[:11], 11, right=True) for name in kernels),
        ]
        table.set_columns(columns)
        rows = []
        for index, layer in enumerate(found.layers if found else ()):
            rows.append(
                Row(
                    index,
                    (
                        "embed" if index == 0 else str(index - 1),
                        f"{layer['difference_norm']:.3f}",
                        f"{layer['cosine']:.3f}",
                        f"{layer['separation']:.2f}",
                        f"{layer['surviving']:.3f}",
                        *("" if index == 0 else f"{strengths[index - 1]:.3f}" for strengths in kernels.values()),
                    ),
                )
            )
        first = not table.rows
        table.set_rows(rows)
        if first and found:
            # Where the two sets lie farthest apart is where one wants to look first.
            table.go_to(max(range(len(rows)), key=lambda index: found.layers[index]["separation"]))

    def _paint_side(self) -> None:
        found = self.heretic.state.directions
        side = self.query_one("#layer-detail", TextPanel)
        if found is None:
            progress = self.heretic.state.progress
            words = "The directions are not known yet."
            if progress:
                words += f"\n\n{progress.stage}: {progress.done} of {progress.total}"
            side.show(Text(words))
            return
        region = side.scrollable_content_region
        width, height = max(24, region.width), max(8, region.height)
        index = self.query_one(LineTable).place
        match self._view:
            case "layer":
                text = self._layer(index, width)
                # Where there is room, the curves over all layers stand below.
                if height >= 30:
                    text = Text("\n").join([text, self._curves(width, height - 15)])
                side.show(text)
            case "curves":
                side.show(self._curves(width, height))
            case "trial":
                kernels = self._kernels()
                text = Text(f"trial {self.heretic.selected_trial}: strength of the edit over the layers\n", "bold")
                text.append_text(curves(kernels, width, height - 1, self.heretic.glyphs))
                side.show(text if kernels else Text("no trial yet"))
            case "cosines":
                side.show(heat_map(found.cosines, index, width, self.heretic.glyphs))

    def _curves(self, width: int, height: int) -> Text:
        found = self.heretic.state.directions
        assert found is not None
        parts = []
        for names in (("cosine", "surviving"), ("separation",)):
            series = {name: [layer[name] for layer in found.layers[1:]] for name in names}
            parts.append(curves(series, width, height // 2, self.heretic.glyphs))
        return Text("\n").join(parts)

    def _layer(self, index: int, width: int) -> Text:
        found = self.heretic.state.directions
        assert found is not None
        layer = found.layers[index]
        text = Text()
        text.append("embedding output" if index == 0 else f"layer {index - 1}", "bold")
        text.append(f"\nlength of the good mean {layer['good_norm']:.2f}, of the bad mean {layer['bad_norm']:.2f}\n\n")
        text.append("how the prompts spread along the direction\n", "bold")
        text.append_text(histogram(found.histograms[index], width, self.heretic.glyphs))
        text.append("\n\nnearest other directions\n", "bold")
        for other, cosine in nearest_layers(found.cosines, index):
            text.append(f"{'embed' if other == 0 else f'layer {other - 1}':>9}  cosine {cosine:.3f}\n")
        return text

    @on(LineTable.Highlighted, "#layer-table")
    def _highlighted(self) -> None:
        if self._view in ("layer", "cosines"):
            self._paint_side()

    def action_view(self) -> None:
        self._view = after(_VIEWS, self._view)
        self._paint_side()

    def action_copy(self) -> None:
        table = self.query_one(LineTable)
        lines = ["\t".join(column.title for column in table.columns)]
        lines += ["\t".join(row.cells) for row in table.rows]
        self.heretic.copy("\n".join(lines), "table of layers")

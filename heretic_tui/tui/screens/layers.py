"""Layers: where refusal is mediated, what the directions are like and say, and what the selected trial does to each."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical

from heretic_tui.commands import Analyse, Shift
from heretic_tui.layer_figures import GEOMETRY_COLUMNS, best_layer, peaks
from heretic_tui.run.trial_record import MEASURED_STATES
from heretic_tui.tui.messages import CancelCommand, CopyText, SendCommand, TweakFrom
from heretic_tui.tui.screens.base import touched
from heretic_tui.tui.screens.layers_files import LayerFiles
from heretic_tui.tui.screens.layers_method import method_title, methods_of
from heretic_tui.tui.screens.layers_panes import LayerPanes
from heretic_tui.tui.screens.layers_table import (
    columns_of,
    geometry_columns,
    geometry_rows,
    rows_of,
)
from heretic_tui.tui.screens.layers_text import (
    waiting,
)
from heretic_tui.tui.screens.run_choice import RunChoice
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.tui.widgets.view_line import ViewLine
from heretic_tui.words import plain

_NO_PEAKS = "The layers have not been analysed yet."
# Name, key and title of each view.
_VIEWS = (
    ("overview", "", "overview"),
    ("importance", "w", "importance"),
    ("tokens", "t", "tokens"),
    ("map", "o", "map"),
    ("geometry", "m", "geometry"),
    ("shift", "f", "first-token shift"),
    ("cosines", "s", "cosines"),
    ("compare", "c", "compare"),
)
# Views whose keys stand below the overview.
_LENS_KEYS = ("tokens", "map", "geometry", "compare")
# Events by which what is said of a missing analysis changes.
_COURSE = ("progress", "phase_started", "trial_finished", "analysis_ended", "run_ended")
# In place of the overview where there is room for one pane: its panes.
_NARROW = (
    ("layers-pane", "", "table"),
    ("finding-pane", "", "finding"),
    ("curves-pane", "", "curves"),
    *((name, key, "shift" if name == "shift" else title) for name, key, title in _VIEWS[1:]),
)


class LayersScreen(LayerPanes):
    """A table of layers; beside it the finding, the curves and what the selected layer says, or one view alone."""

    SCOPE = "layers"
    PANES = ("layers-pane", "finding-pane", "curves-pane", "view-pane")
    HELP_TEXT = """
A run analyses its layers when its search is done; a has it done now, between trials, after the first one.

* marks the best layer, the same in every view and sentence: the one where ablating the direction from the residual
stream lowers the refusal log-odds most. (Where that was not measured: the one with the highest AUC.)

ablate, add, edit alone: changes of the log-odds that a response begins as a refusal, by an intervention in one layer.
Ablate: harmful prompts, the direction ablated after this layer. Add: harmless prompts, the direction added after this
layer, |r| long. Edit alone: harmful prompts, and only this layer kept from writing the direction. AUC: how well
the direction separates held-out prompts. edit(N): how strongly trial N edits each layer.
A layer with - is never edited: both sets lie on the same side of its direction (setting layer_mask).

Where a run has several direction methods, d shows the next one's directions in all panes; each was measured. (Geometry
and a map by pca or pacmap are of the prompts alone.) Where a layer has several directions, ablate and edit alone take
out all of them; all other figures are of the mean difference within their space, and t tells the tokens of each.

|r|: norm of the difference of the means. cos: cosine of the harmless and the harmful mean. sep.: how far the two sets
lie apart along the direction, in standard deviations. kept: share of the direction that is left when what it shares
with the harmless mean is taken out.

Geometry: g and b are the mean residuals of harmless and harmful prompts, g* and b* their geometric medians, r = b - g,
r* = b* - g*, S the cosine similarity, |x| the norm, Silh the mean silhouette coefficient of the two sets. Left and
right bring further columns into sight; in other views they go from layer to layer, as up and down do in the table.

The command `heretic-tui geometry RUN` prints it, `plot` draws the prompts, `tokens` and `compare` tell the rest.
"""
    BINDINGS = [
        Binding("v", "next_pane", "View", tooltip="show the next view"),
        Binding("V", "view_before", "View before", show=False, tooltip="show the view before"),
        Binding("w", "show('importance')", "Importance", tooltip="show which layers matter, with errors"),
        Binding("t", "show('tokens')", "Tokens", tooltip="show all tokens of the layer's direction (logit lens)"),
        Binding("o", "show('map')", "Map", tooltip="show both prompt sets on a plane; again: by the next method"),
        Binding("m", "show('geometry')", "Geometry", tooltip="show the residual geometry as a table"),
        Binding("f", "show('shift')", "First-token shift", tooltip="show what the selected trial does to first tokens"),
        Binding("s", "show('cosines')", "Cosines", tooltip="show the cosines between the layers' directions"),
        Binding(
            "c",
            "show('compare')",
            "Compare: choose a run",
            id="layers.compare",
            tooltip="compare the directions with those of another run",
        ),
        Binding(
            "a",
            "analyse",
            "Analyse the layers",
            id="layers.analyse",
            tooltip="analyse the layers now, between trials; a run does it by itself when its search is done",
        ),
        Binding("n", "next_peak", "Next peak", tooltip="go to the next layer that is better than those beside it"),
        Binding(
            "d",
            "next_method",
            "Next method",
            id="layers.method",
            tooltip="show the directions of the next direction method, where the run has several",
        ),
        Binding("x", "tweak", "Tweak from here", tooltip="tweak the selected trial's edit in the chat"),
        Binding("left,h", "across(-1)", "Layer before", show=False, tooltip="the layer before, or columns to the left"),
        Binding("right,l", "across(1)", "Next layer", show=False, tooltip="the next layer, or columns to the right"),
        Binding("escape", "back", "Overview", show=False, tooltip="back to the overview; cancel what was asked for"),
        Binding("y", "copy", "Copy table", show=False, tooltip="copy the table of layers"),
    ]

    def __init__(self) -> None:
        super().__init__()
        # Whether the panes are to be painted anew for other sizes.
        self._stale = False
        # Whether there was room for one pane alone.
        self._narrow = False
        # Whether the key for the analysis led anywhere when it was last looked at.
        self._could_analyse = False
        self._forget()

    def _forget(self) -> None:
        """What was known of the run before."""
        self.files = self.asked = self.asked_for_layers = None
        self.method = ""
        self._placed = False
        self._drawn: int | None = None
        # Columns of the geometry that are out of sight to the left.
        self._panned = 0

    def body(self) -> ComposeResult:
        yield ViewLine("layer-views")
        with Horizontal(id="layers-body"):
            with Frame("Layers", id="layers-pane", keys=("next_method", "next_peak", "tweak", "copy")):
                yield LineTable([], id="layer-table")
            with Vertical(id="layers-middle", classes="column"):
                with Frame("Where refusal is mediated", id="finding-pane", keys=("analyse", "show('importance')")):
                    yield TextPanel(id="finding")
                with Frame("Curves by layer", id="curves-pane", keys=("next_peak", "across(-1)", "across(1)")):
                    yield TextPanel(id="curves")
                with Frame("", id="view-pane", keys=("across(-1)", "across(1)", "back")):
                    yield TextPanel(id="view")
            with Vertical(id="layers-right", classes="column"):
                with Frame("Map", id="map-pane", keys=("show('map')",)):
                    yield TextPanel(id="map")
                with Frame("First-token shift", id="shift-pane", keys=("show('shift')",)):
                    yield TextPanel(id="shift")
        with Frame("Logit lens", id="lens-pane", keys=(*(f"show('{view}')" for view in _LENS_KEYS),)):
            yield TextPanel(id="lens")

    def on_mount(self) -> None:
        self.query_one("#layer-table").focus()

    # Painting

    def paint(self, kinds: frozenset[str]) -> None:
        folder = self.view.folder
        if folder is not None and (self.files is None or self.files.folder is not folder):
            self._forget()
            self.files = LayerFiles(folder)
        if "shift_found" in kinds:
            self.asked = None
        if "analysis_ended" in kinds:
            self.asked_for_layers = None
        if self._can_analyse != self._could_analyse or "directions_found" in kinds:
            self._could_analyse = self._can_analyse
            self.refresh_bindings()
        came = touched(kinds, "directions_found", "run_opened", "layers_analysed", "shift_found")
        if came or self.view.selected_trial != self._drawn:
            self._read()
            self._paint()
        elif touched(kinds, *_COURSE) and (self._waiting or self.asked):
            self._paint()

    @property
    def _waiting(self) -> bool:
        state = self.view.state
        return state.directions is None or state.analysis is None

    def _paint(self) -> None:
        self._drawn = self.view.selected_trial
        self._paint_views()
        self._paint_table()
        self.paint_side()

    def _paint_views(self) -> None:
        state, narrow = self.view.state, self.has_class("-narrow")
        more = ""
        if found := state.analysis:
            sets = [found.prompts.get(f"{name}_prompts", 0) for name in ("good", "bad")]
            good, bad = state.behaviour.good, state.behaviour.bad
            more = f"{len(found.layers) - 1} layers, {sets[0]} {good} and {sets[1]} {bad} prompts"
        here = self.pane if narrow and self.shown in ("overview", "geometry") else self.shown
        here = "geometry" if self.shown == "geometry" else here
        self.query_one(ViewLine).show(_NARROW if narrow else _VIEWS, here, more, self.looks)

    def _paint_table(self) -> None:
        table, state = self.query_one(LineTable), self.known
        pane = self.query_one("#layers-pane", Frame)
        if self.shown == "geometry":
            pane.retitle("Residual geometry")
            columns = geometry_columns(self._panned)
            rows = geometry_rows(state.analysis.layers, columns) if state.analysis else []
        else:
            pane.retitle(f"Layers{method_title(self.view.state, self.method)}")
            edit = self.edit()
            columns = columns_of(state, edit, self.view.selected_trial, table.size.width - 1)
            rows = rows_of(state, edit, columns, self.view.glyphs)
        geometry = self.shown == "geometry" and state.directions is not None
        empty = self.not_analysed() if geometry else waiting(state, self.view.alive, "No directions yet.")
        whole, (first, *_) = empty.replace("\n", " "), empty.splitlines()
        # The panes beside it have the rest.
        table.set_empty(whole if len(whole) < table.size.width else first)
        table.set_columns(columns)
        table.set_rows(rows)
        self._go_to_best(table)

    def _go_to_best(self, table: LineTable) -> None:
        """Begin at the best layer, once it is known, unless the user has moved the cursor."""
        found = self.known.analysis
        best = best_layer(found.layers) if found else None
        if best is not None and not self._placed:
            self._placed = True
            if table.place == 0:
                table.go_to(best.index)

    @on(TextPanel.Resized)
    def _resized(self) -> None:
        # Several panes at once, most often.
        if not self._stale:
            self._stale = True
            self.call_after_refresh(self.careful(self._paint_resized))

    def _paint_resized(self) -> None:
        self._stale = False
        if self.is_ready:
            self._paint()
            narrow = self.has_class("-narrow")
            if self.focused is None or narrow != self._narrow:
                # What had the focus may be hidden at this size.
                self._narrow = narrow
                self._focus()

    def _focus(self) -> None:
        """Give the focus to the table, or where there is room for one pane, to what is in it."""
        pane = self.query_one(f"#{self.pane}") if self.has_class("-narrow") else self
        next(iter(pane.query("LineTable, TextPanel"))).focus()

    @on(LineTable.Highlighted, "#layer-table")
    def _highlighted(self) -> None:
        self.paint_side()

    @on(ViewLine.Chosen)
    def _chosen(self, message: ViewLine.Chosen) -> None:
        self._show(message.view)

    # Actions

    def works(self, action: str) -> bool:
        if action == "tweak":
            trial = self.view.trial
            return trial is not None and trial.state in MEASURED_STATES and self.view.can_ask
        return True

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "analyse":
            return self._can_analyse
        if action == "next_method":
            return len(methods_of(self.view.state)) > 1
        return True if action == "next_pane" else super().check_action(action, parameters)

    def action_next_pane(self) -> None:
        if self.has_class("-narrow"):
            # As on every screen; V walks through all views.
            here = self.PANES.index(self.pane)
            pane = self.PANES[(here + 1) % len(self.PANES)] if self.shown in ("overview", "geometry") else self.PANES[0]
            self._show("importance" if pane == "view-pane" else pane)
        else:
            self._step(1)

    def action_view_before(self) -> None:
        self._step(-1)

    def _step(self, by: int) -> None:
        narrow = self.has_class("-narrow")
        names = [name for name, _, _ in (_NARROW if narrow else _VIEWS)]
        here = self.pane if narrow and self.shown == "overview" else self.shown
        self._show(names[(names.index(here) + by) % len(names)])

    def action_show(self, view: str) -> None:
        again = view == self.shown
        self._show(view)
        if view == "compare":
            self._ask_other()
        elif view == "map" and again and self.files:
            self.files.next_method()
        elif view == "shift" and again:
            self._ask_shift()
        self.paint_side()

    def _show(self, place: str) -> None:
        """Show a view, or a pane of the overview."""
        pane = place if place in self.PANES else ""
        self.shown = "overview" if pane else place
        self.set_class(self.shown not in ("overview", "geometry"), "-view")
        self.set_class(self.shown == "geometry", "-only-table")
        alone = "layers-pane" if self.shown in ("overview", "geometry") else "view-pane"
        self.show_pane(pane or alone)
        self._focus()
        self._read()
        # When the panes have their new sizes.
        self.call_after_refresh(self.careful(self._paint))

    def action_back(self) -> None:
        if asked := self.asked or self.asked_for_layers:
            self.ask(CancelCommand(asked))
        elif self.shown != "overview":
            self._show("overview")

    def action_across(self, by: int) -> None:
        if self.shown == "geometry":
            self._panned = max(0, min(len(GEOMETRY_COLUMNS) - 1, self._panned + by))
            self._paint_table()
        else:
            self.query_one(LineTable).action_move(by)

    def action_next_peak(self) -> None:
        found = self.known.analysis
        known = peaks(found.layers) if found else []
        if not known:
            self.say("The layers have not been analysed yet: a analyses them." if self._can_analyse else _NO_PEAKS)
            return
        here = self.index
        self.query_one(LineTable).go_to(next((index for index in known if index > here), known[0]))

    @property
    def _can_analyse(self) -> bool:
        state = self.view.state
        return state.directions is not None and state.analysis is None and self.view.can_ask

    def action_analyse(self) -> None:
        if not self.asked_for_layers and self.view.state.phase != "layers":
            self.asked_for_layers = Analyse()
            self.ask(SendCommand(self.asked_for_layers))
            self._paint()

    def action_next_method(self) -> None:
        methods = methods_of(self.view.state)
        here = methods.index(self.method) if self.method in methods else 0
        self.method = methods[(here + 1) % len(methods)]
        if self.files:
            self.files.follow(methods, self.method)
        self._paint()

    def action_tweak(self) -> None:
        trial = self.view.trial
        if trial is None or trial.state not in MEASURED_STATES:
            self.say("A trial's edit can be tweaked when the trial has been measured.")
        else:
            self.ask(TweakFrom(trial.number))

    def _ask_shift(self) -> None:
        trial, files = self.view.trial, self.files
        if trial is None or trial.state != "complete":
            self.say("The first-token shift can be measured when a trial is complete.")
        elif self.view.can_ask and files and not self.asked and trial.number not in files.shifts:
            self.asked = Shift(trial.number)
            self.ask(SendCommand(self.asked))

    def _ask_other(self) -> None:
        files = self.files
        if files is None:
            return

        def answered(name: str | None) -> None:
            if name:
                files.compared = [f"Reading {plain(name)} {self.view.glyphs.ellipsis}"]
                self.paint_side()
                self._work(lambda: files.compare(name), "compare")

        def offer() -> None:
            others = files.others()
            dialog = RunChoice("Compare the directions with those of which run?", others)
            self.app.call_from_thread(self.app.push_screen, dialog, answered)

        on_thread(self, offer, "others")

    def _read(self) -> None:
        files, trial = self.files, self.view.selected_trial
        if files is None:
            return

        def read() -> None:
            files.read_projections()
            if trial is not None:
                files.read_shift(trial)

        self._work(read, "files")

    def _work(self, work: Callable[[], None], group: str) -> None:
        """Do it on a thread, then paint."""

        def run() -> None:
            work()
            self.app.call_from_thread(self.careful(self.paint_side))

        on_thread(self, run, group)

    def action_copy(self) -> None:
        table = self.query_one(LineTable)
        lines = ["\t".join(column.title for column in table.columns)]
        lines += ["\t".join(row.cells) for row in table.rows]
        self.ask(CopyText("\n".join(lines), "table of layers"))

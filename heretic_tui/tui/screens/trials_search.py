"""The part of Trials that shows the search as a whole: the scatter with the front, and the progress."""

from __future__ import annotations

from textual import on

from heretic_tui.run.search_progress import SearchProgress
from heretic_tui.tui.importances import ImportanceKeeper, Importances
from heretic_tui.tui.screens.trials_actions import TrialActions
from heretic_tui.tui.screens.trials_progress import progress_text
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.pareto_plot import ParetoPlot
from heretic_tui.tui.widgets.pareto_scene import Look, Point, Scene
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import plain


class TrialSearch(TrialActions):
    """The panes of the front and of the progress."""

    def __init__(self) -> None:
        super().__init__()
        self._progress = SearchProgress()
        self._importances = ImportanceKeeper()
        # How a run's scatter was looked at, by the run's folder.
        self._looks: dict[str, Look] = {}

    def forget_search(self) -> None:
        """Another run is open."""
        self._progress, self._importances = SearchProgress(), ImportanceKeeper()

    def look_as_before(self) -> None:
        """Show the scatter of this run as it was looked at last."""
        self.query_one(ParetoPlot).look_at(self._looks.get(self._run_key, Look()))

    def paint_front_title(self) -> None:
        state = self.view.state
        upwards, across = (plain(figure.short) for figure in (state.figures[1], state.figures[0]))
        zoom = self.query_one(ParetoPlot).look.zoom
        words = {"all": "best: lower left", "front": "zoom: the front", "selected": "zoom: around the selected"}
        self.query_one("#front-pane", Frame).retitle(f"Front: {upwards} against {across} ({words[zoom]})")

    @property
    def _run_key(self) -> str:
        return str(self.view.folder.path) if self.view.folder else ""

    def scene(self, points: tuple[Point, ...]) -> Scene:
        """What the scatter shows."""
        state = self.view.state
        objectives = across, upwards = state.figures[0], state.figures[1]
        base, original, start = state.base, None, None
        if base and upwards.key in base.figures:
            # Of what compares with the original model, it has nothing.
            original = base.figures.get(across.key, 0.0), base.figures[upwards.key]
        if (began := state.start) and across.key in began.figures and upwards.key in began.figures:
            start = began.figures[across.key], began.figures[upwards.key]
        return Scene(
            points,
            objectives,
            original,
            start,
            self.running_values(),
            base.prompts if base else 0,
            self.view.glyphs,
        )

    def running_values(self) -> tuple[float, ...]:
        """The first objective of the trials in hand, where it is known already."""
        key, in_hand = self.view.state.figures[0].key, self.view.state.in_hand if self.view.alive else []
        return tuple(trial.measured[key] for trial in in_hand if key in trial.measured)

    def paint_progress(self) -> None:
        panel = self.query_one("#progress", TextPanel)
        if not panel.size.width or not panel.is_on_screen:
            return
        view = self.view
        self._progress.update(view.state)
        keeper = self._importances
        if task := keeper.task(view.state):

            def work() -> None:
                found = task()
                self.app.call_from_thread(self._take_importances, keeper, found)

            on_thread(self, work, "importances")
        width = panel.scrollable_content_region.width
        panel.show(progress_text(self._progress, keeper.found, view.state, self.looks, view.glyphs, width, view.timed))

    @on(TextPanel.Resized)
    def _progress_resized(self) -> None:
        """The pane came into view, perhaps behind what was to be painted in it, or has another width."""
        self.call_after_refresh(self.careful(self.paint_progress))

    def _take_importances(self, keeper: ImportanceKeeper, found: Importances) -> None:
        keeper.take(found)
        if self.is_ready and keeper is self._importances:
            self.paint_progress()

    def action_logarithmic(self) -> None:
        look = self.query_one(ParetoPlot).look
        # A zoom's ranges are values: they stay the same on another scale.
        self._look_at(Look(not look.logarithmic, look.zoom, look.box))

    def action_zoom(self) -> None:
        self._look_at(self.query_one(ParetoPlot).next_zoom())

    def _look_at(self, look: Look) -> None:
        self._looks[self._run_key] = look
        self.query_one(ParetoPlot).look_at(look)
        self.paint_front_title()

"""One run on disk, as a program reads it: its trials, its directions, its responses; without torch."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from heretic_tui.errors import UsageError
from heretic_tui.events import LayersAnalysed
from heretic_tui.files import user_path
from heretic_tui.plugins import CHECKS, names
from heretic_tui.run.directions import Directions, read_directions
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import read_events
from heretic_tui.run.results import ResponseRecord, read_geometry, read_responses
from heretic_tui.run.reviews import Review, read_review
from heretic_tui.run.state import RunState


class Run:
    """What the folder of a run holds. Each part is read when it is first asked for, and stays as it was then: make
    another `Run` to see what a run that is going on has found since. Nothing is written, and the run is not locked.

    Args:
        path: the run's folder.

    Raises:
        UsageError: when it is no folder of a run; of each attribute, when what it reads is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.folder = RunFolder(user_path(str(path)))
        if not os.path.isfile(self.folder.record):
            raise UsageError(f"{self.folder.path} is no run: there is no {self.folder.record.name} in it")

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def state(self) -> RunState:
        """All that its events tell: `state.trials` by number, `state.front()` in its order, `state.base`,
        `state.n_trials` and so on."""
        return RunState.replay(read_events(self.folder.events))

    @cached_property
    def directions(self) -> Directions:
        """The directions of each residual index, of length one, (layers + 1, k, hidden) float32, k being 1 with most
        methods: index 0 is the embedding output, index l + 1 the output of layer l."""
        return read_directions(self.folder).directions

    @cached_property
    def geometry(self) -> LayersAnalysed | None:
        """What was found out about each layer; None where the layers have not been analysed."""
        return read_geometry(self.folder)

    @cached_property
    def review(self) -> Review:
        """What reviews of its finalists found: `review.subjects`, and `review.figure(check, key, subject)`."""
        return read_review(self.folder.review, names(CHECKS))

    def responses(self, trial: int | None = None) -> list[ResponseRecord]:
        """What a trial, or the base model for None, said to each bad evaluation prompt, with the verdict on it.

        Raises:
            UsageError: when there are none.
        """
        try:
            return read_responses(self.folder, trial)
        except FileNotFoundError as error:
            whose = "the original model" if trial is None else f"trial {trial}"
            raise UsageError(f"run {self.name} holds no responses of {whose}") from error

"""What every phase of a run is handed, and how a phase is told: its beginning, its end, the time it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from heretic_tui.engine.directions.methods.base import DirectionMethod, direction_methods
from heretic_tui.engine.edits.methods.base import EditMethod, edit_method
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.inputs.prompts import PromptSets
from heretic_tui.engine.memory import is_out_of_memory
from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.events import PhaseFinished, PhaseStarted
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.record import RunRecord
from heretic_tui.settings.schema import Settings
from heretic_tui.words import quoted
from heretic_tui.work import Work

T = TypeVar("T")


@dataclass(frozen=True)
class RunInputs:
    """What the phases of a run work on.

    Attributes:
        sets: prompts by the names of their settings (good_prompts, bad_prompts, good_evaluation_prompts,
            bad_evaluation_prompts) and those of `keep_prompts` (settings/prompt_sets.py: KEPT_SET); empty where nothing
            will be measured.
        own: whether the model is the run's own, so that what phases find is kept in the folder. Where it is another (an
            export loaded again, say), all that the run found is taken from the folder, and nothing is written there.
    """

    settings: Settings
    sets: PromptSets
    folder: RunFolder
    own: bool
    direction_methods: Mapping[str, DirectionMethod]
    edit_method: EditMethod

    @classmethod
    def of(cls, settings: Settings, sets: PromptSets, folder: RunFolder, own: bool = True) -> RunInputs:
        """
        Raises:
            UsageError: where a method is not there, or lacks a setting; now, and not after the model has been loaded.
        """
        found = direction_methods(settings), edit_method(settings.edit_method)
        return cls(settings, sets, folder, own, *found)

    @property
    def record(self) -> RunRecord:
        """What the folder knows of the run."""
        return self.folder.read_record()

    def require(self, what: str) -> None:
        """Check that a result which the folder does not hold may be found now.

        Raises:
            HereticError: where the model is not the run's own: what would be found now would not be the run's.
        """
        if not self.own:
            raise HereticError(
                f"the {what} of run {self.folder.name} cannot be read from its folder: the same `heretic-tui run` "
                "command finds it again"
            )

    @contextmanager
    def naming(self, *rows: tuple[str, int]) -> Iterator[None]:
        """Within the block, what is not finite is told with the prompts.

        Args:
            rows: the names of sets, and how many of the first prompts of each the rows of a batch are, one after the
                other.
        """
        try:
            yield
        except NotFiniteError as error:
            prompts = [(name, at) for name, count in rows for at in range(min(count, len(self.sets[name])))]
            name, at = prompts[error.rows[0]]
            more = f" and {len(error.rows) - 1} more prompts" if len(error.rows) > 1 else ""
            named = NotFiniteError(error.rows, error.what)
            named.args = (f"{error} for {name}, prompt {at + 1} ({quoted(self.sets[name][at].text)}){more}",)
            raise named from None


@dataclass
class Phase:
    """A phase that runs. `reused` is set where the run folder held the result already."""

    reused: bool = False


@contextmanager
def phase(name: str, work: Work) -> Iterator[Phase]:
    """Tell the beginning and the end of a phase.

    Raises:
        HereticError: where memory ran out in it.
        Aborted: from the control, before it begins.
    """
    work.checkpoint()
    work.tell(PhaseStarted(phase=name))
    start, running = time.perf_counter(), Phase()
    try:
        yield running
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise HereticError(
            f"out of memory in the phase '{name}' even with one prompt at a time: try weights in fewer bits "
            f"(--quantization) or a larger GPU ({one_line(error)})"
        ) from error
    seconds = round(time.perf_counter() - start, 3)
    work.tell(PhaseFinished(phase=name, seconds=seconds, reused=running.reused))


def unless_damaged(read: Callable[[], T], work: Work) -> T | None:
    """What a file of the run folder holds; where it is damaged that is told, and it counts as missing."""
    try:
        return read()
    except UsageError as error:
        work.note(f"{error}: it is not used", "warning")
        return None

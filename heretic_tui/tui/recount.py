"""Figures that follow overruled verdicts: responses are read on a thread, and what they change is folded into the state
of the run at the tick."""

from __future__ import annotations

import threading
from collections import deque

from heretic_tui.run.annotations import Annotations
from heretic_tui.run.corrections import Corrections
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import MEASURED_STATES

# Trials whose count is corrected in one call, when many were read since the last: they take 10 ms.
_AT_ONCE = 500


class Recount:
    """Counts refused responses of the trials of one run, and of its base model, as people have it. While nobody
    overruled a verdict nothing is read."""

    def __init__(self, folder: RunFolder, annotations: Annotations) -> None:
        self._annotations = annotations
        self._corrections = Corrections(folder, annotations)
        self._asked: set[int | None] = set()
        self._wanted: deque[int | None] = deque()
        self._read: deque[int | None] = deque()
        self._thread: threading.Thread | None = None
        # For how many ends of trials there was a look at what is to be read.
        self._looked = -1

    def measured_again(self, whose: int | None) -> None:
        """A trial, or the base model for None, has other responses than before."""
        self._asked.discard(whose)
        self._corrections.forget(whose)
        self._looked = -1

    def read_now(self, whose: int | None) -> None:
        """Read the responses of a trial, or of the base model, at once and not on the thread: some milliseconds."""
        if whose not in self._asked:
            self._asked.add(whose)
            self._corrections.read(whose)
            self._read.append(whose)

    def sharing(self, prompt: str, text: str) -> list[int | None]:
        """Those that gave a response to a prompt, both as digests, of those that have been read."""
        return self._corrections.sharing(prompt, text)

    def join(self) -> None:
        """Wait until the thread has read what it was asked for."""
        if self._thread is not None:
            self._thread.join()

    def take(self, state: RunState) -> bool:
        """Correct the state by what was overruled, and read, since the last call; whether anything changed."""
        touched = self._corrections.touched()
        self._ask_for_all(state)
        while self._read and len(touched) < _AT_ONCE:
            touched.add(self._read.popleft())
        return state.correct({whose: self._corrections.of(whose, state.counts_broken) for whose in touched})

    def _ask_for_all(self, state: RunState) -> None:
        if not self._annotations.verdicts:
            return
        if state.finished != self._looked and state.base is not None:
            self._looked = state.finished
            measured = (number for number, trial in state.trials.items() if trial.state in MEASURED_STATES)
            missing = [whose for whose in (None, *measured) if whose not in self._asked]
            self._asked.update(missing)
            self._wanted.extend(missing)
        if self._wanted and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._read_all, name="recount", daemon=True)
            self._thread.start()

    def _read_all(self) -> None:
        while self._wanted:
            whose = self._wanted.popleft()
            self._corrections.read(whose)
            self._read.append(whose)

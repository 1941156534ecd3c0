"""Reviews of a run as screens show them: what was found, read on a thread and as people have it, and how far the review
is that is under way. Knows no Textual."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.commands import Review as Ask
from heretic_tui.run.annotations import Annotations
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.review_folder import ReviewFolder
from heretic_tui.run.review_rulings import as_people_have_it, with_counts
from heretic_tui.run.reviews import Review, ReviewReader


@dataclass
class Step:
    """One check of a review under way.

    Attributes:
        total: subjects that it has to look at.
        seconds: that it takes for all of them, about; None where that is not known.
        problem: why it found nothing (more).
    """

    title: str
    total: int
    seconds: float | None = None
    done: int = 0
    problem: str | None = None

    @property
    def left(self) -> int:
        return 0 if self.problem else max(0, self.total - self.done)


@dataclass
class Course:
    """A review under way: its checks in their order, and when the latest finding came (seconds since 1970)."""

    trials: Sequence[int]
    steps: list[Step]
    latest: float

    @property
    def step(self) -> Step | None:
        """The check that is made now."""
        return next((step for step in self.steps if step.left), None)

    def seconds_left(self, now: float) -> float | None:
        """About how long it takes yet; None where that is not known of a check that is left."""
        left = [step for step in self.steps if step.left]
        if not left or any(step.seconds is None for step in left):
            return None
        each = [(step.seconds or 0.0) / step.total for step in left]
        whole = sum(one * step.left for one, step in zip(each, left, strict=True))
        # What has passed of the subject that is looked at.
        return max(0.0, whole - min(max(0.0, now - self.latest), each[0]))


class Reviews:
    """Reviews of one run.

    Args:
        folder: the run's.

    Attributes:
        found: all that the run folder holds, as people have it.
        changes: grows whenever `found` is another.
        course: of the review that is under way; None where none is.
        asked: the review that was asked for here and has not ended; None where there is none.
        nothing_left: whether the latest review had nothing to do: all was known.
    """

    def __init__(self, folder: RunFolder | None, annotations: Annotations) -> None:
        self.found = Review(ReviewFolder(Path()))
        self.changes = 0
        self.course: Course | None = None
        self.asked: Ask | None = None
        self.nothing_left = False
        self._reader: ReviewReader | None = None
        # By the title of a check, how many subjects were known before the review that begins.
        self._known: dict[str, int] = {}
        self._annotations, self._seen = annotations, -1
        self._stale = True
        self._read: Review | None = None
        self._thread: threading.Thread | None = None
        if folder:
            self.found_folder(folder, annotations)

    def found_folder(self, folder: RunFolder, annotations: Annotations) -> None:
        """The run's folder is known now."""
        self.found = Review(ReviewFolder(folder.review), [], {}, [])
        self._reader = ReviewReader(folder.review)
        self._annotations, self._seen = annotations, -1

    def fold(self, event: ev.Event) -> None:
        match event:
            case ev.ReviewStarted():
                subjects, known = len(event.trials) + 1, self._known
                steps = [Step(name, subjects - known.get(name, 0), event.seconds.get(name)) for name in event.checks]
                self.course, self._known = Course(event.trials, steps, event.time), {}
                self.nothing_left = not steps
            case ev.ReviewFound():
                self._take_found(event)
            case ev.ReviewEnded():
                self.course = self.asked = None
                self._known = {}
                self._stale = True
            case ev.RunOpened() | ev.RunEnded() | ev.RunFailed():
                # One that was cut off has no end.
                self.course = self.asked = None

    def _take_found(self, event: ev.ReviewFound) -> None:
        if event.reused:
            self._known[event.title] = self._known.get(event.title, 0) + 1
            return
        self._stale = True
        step = next((step for step in self.course.steps if step.title == event.title), None) if self.course else None
        if step and self.course:
            if event.failure and not event.whose:
                # Of all that were left.
                step.problem = event.failure
            else:
                step.done += 1
            self.course.latest = event.time

    def drop(self) -> None:
        """No engine is there any more."""
        self.course = self.asked = None

    def look_again(self) -> None:
        """Another process may have reviewed."""
        self._stale = True

    def take(self, checks: Sequence[str], counts_broken: bool) -> bool:
        """Take in what was read since the last call, and have read what changed; whether `found` is another.

        Args:
            checks: names of checks, in the order in which they are shown; others follow.
            counts_broken: whether an answer that a person called broken counts as refused.
        """
        read, self._read = self._read, None
        other = read is not None and read != self.found
        if read is not None and other:
            self.found = read
            self.changes += 1
        if self._reader and (self._stale or self._seen != self._annotations.changes) and not self.reading:
            self._stale, self._seen = False, self._annotations.changes
            self._thread = threading.Thread(
                target=self._read_all, args=(checks, counts_broken), name="reviews", daemon=True
            )
            self._thread.start()
        return other

    @property
    def reading(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def join(self) -> None:
        """Wait until the thread has read what there is."""
        if self._thread is not None:
            self._thread.join()

    def _read_all(self, checks: Sequence[str], counts_broken: bool) -> None:
        assert self._reader is not None
        found = with_counts(self._reader.read(checks))
        self._read = as_people_have_it(found, self._annotations, counts_broken, self._reader.answers)

"""Reviews of a run as screens show them: what was found, read on a thread and as people have it, and how far the review
is that is under way. Knows no Textual."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
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
        expected: seconds that it takes for all of them, as was reckoned before; None where that is not known.
        took: seconds that it took for each of which it found something.
        problem: why it found nothing (more).
    """

    title: str
    total: int
    expected: float | None = None
    done: int = 0
    took: list[float] = field(default_factory=list)
    problem: str | None = None

    @property
    def left(self) -> int:
        return 0 if self.problem else max(0, self.total - self.done)

    @property
    def each(self) -> float | None:
        """Seconds for a subject: as those took that are done, or as was reckoned; None where neither is known."""
        if self.took:
            return sum(self.took) / len(self.took)
        return None if self.expected is None else self.expected / max(1, self.total)

    @property
    def seconds(self) -> float | None:
        """For all subjects."""
        return None if self.each is None else self.each * self.total


@dataclass
class Course:
    """A review under way: its checks in their order, and when the latest finding came (seconds since 1970)."""

    steps: list[Step]
    latest: float

    @property
    def step(self) -> Step | None:
        """The check that is made now."""
        return next((step for step in self.steps if step.left), None)

    def seconds_left(self, now: float) -> float | None:
        """About how long it takes yet, without the checks of which that is not known; None where it is of none."""
        left = [(step, step.each) for step in self.steps if step.left]
        if all(each is None for _, each in left):
            return None
        whole = sum((each or 0.0) * step.left for step, each in left)
        # What has passed of the subject that is looked at.
        return max(0.0, whole - min(max(0.0, now - self.latest), left[0][1] or 0.0))

    @property
    def not_known(self) -> list[str]:
        """Checks that are left and of which nobody knows how long they take."""
        return [step.title for step in self.steps if step.left and step.each is None]


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
                self.course, self._known = Course(steps, event.time), {}
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
                step.took += [] if event.failure else [event.seconds]
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

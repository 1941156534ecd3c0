"""What a check is: one of the things that a review finds out about its subjects."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from heretic_tui.engine.review.bench import ReviewBench, Reviewed
from heretic_tui.run.review_records import ReviewFigure
from heretic_tui.work import Work


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a check found of one subject.

    Attributes:
        curves: figures by position, by name.
        notes: what the user should know of it, a sentence each.
        problem: why it is not all that the check looks for, in a line; the check has told it. What is there counts, and
            the check is made again the next time.
    """

    figures: Sequence[ReviewFigure]
    notes: Sequence[str] = ()
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    problem: str | None = None


class Check(Protocol):
    """One check. It is made anew for each review, and may keep what it knows of the original model.

    A class that inherits from this one has all that is not said to be its own.

    Attributes:
        title: what it is called. Its own.
    """

    title: str

    def absent(self, bench: ReviewBench) -> str | None:
        """Why there is nothing to do: what it works with was not chosen (the setting is named). None where there is.
        Asked before time is spent."""
        return None

    @abstractmethod
    def basis(self, bench: ReviewBench) -> object:
        """What its findings depend on beside model and subject, as plain JSON: settings and prompts. Its own."""
        ...

    def check(self, bench: ReviewBench, work: Work) -> None:
        """Find out whether it can be made, before time is spent.

        Raises:
            UsageError, HereticError: why not, in one line.
        """
        return

    def seconds(self, bench: ReviewBench, subjects: Sequence[Reviewed]) -> float | None:
        """How long it takes for these subjects, about; None where that is not known before."""
        return None

    def take_original(self, bench: ReviewBench, work: Work) -> None:
        """Keep what subjects are compared with. The model of the bench is the original one. Called once, before
        `look`, where any subject is to be looked at. Raises as `look` does."""
        return

    @abstractmethod
    def look(self, bench: ReviewBench, subjects: Sequence[Reviewed], work: Work) -> Iterator[tuple[Reviewed, Found]]:
        """Look at subjects, each as soon as it is known. Its own.

        Raises:
            UsageError, HereticError: why it cannot go on, in one line; what it gave until then counts.
            torch.OutOfMemoryError: when a single row is too much.
            Aborted: from the control.
        """
        ...

"""Which trials of the front differ from a trial in their refusals by no more than chance: the verdicts on the same
prompts, read on a thread, and compared. Knows no Textual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heretic_tui.behaviour import REFUSALS_NAME
from heretic_tui.errors import HereticError
from heretic_tui.run.annotations import Annotations, counts_refused
from heretic_tui.run.answers import read_answers, read_reviewed_answers
from heretic_tui.run.folder import RunFolder
from heretic_tui.shares import LEVEL, count_difference

# Whether each prompt is refused; None where not all verdicts are known.
Verdicts = tuple[bool, ...] | None


@dataclass(frozen=True)
class Alike:
    """Trials that a trial is within chance of.

    Attributes:
        trial: the one that others are compared with.
        numbers: those that are within chance of it, in the order in which they were given.
        held_out: of them, those that were compared by held-out answers; the others by the prompts of the search.
        things: what is counted.
    """

    trial: int
    numbers: tuple[int, ...] = ()
    held_out: frozenset[int] = frozenset()
    things: str = REFUSALS_NAME

    @property
    def words(self) -> str:
        """within chance of 20, 14 (refusals, p > 0.05); empty where it is of none."""
        if not self.numbers:
            return ""
        sets = {number in self.held_out for number in self.numbers}
        what = f"{self.things}, some held out"
        if len(sets) == 1:
            what = f"held-out {self.things}" if sets == {True} else self.things
        return f"within chance of {', '.join(map(str, self.numbers))} ({what}, p > {1 - LEVEL:.2f})"


class Chances:
    """The verdicts of the trials of one run, by prompt, as far as they were asked for. `alike` is for threads: it reads
    what is not known yet.

    Args:
        counts_broken: whether an answer that a person called broken counts as refused.
        things: what is counted.
    """

    def __init__(
        self, folder: RunFolder, annotations: Annotations, counts_broken: bool, things: str = REFUSALS_NAME
    ) -> None:
        self._things = things
        self._folder, self._annotations, self._counts_broken = folder, annotations, counts_broken
        self._known: dict[tuple[int, bool], Verdicts] = {}
        self._changes: tuple[int, int] = (-1, -1)

    def alike(self, trial: int, others: Sequence[int], reviewed: Sequence[int], reviews: int) -> Alike:
        """
        Args:
            others: the trials that it is compared with.
            reviewed: trials whose held-out answers are there.
            reviews: grows whenever these are others.
        """
        if self._changes != (changes := (self._annotations.changes, reviews)):
            # A person gave another verdict, or answers are others.
            self._known.clear()
            self._changes = changes
        numbers, held_out = [], set()
        for other in others:
            if other == trial:
                continue
            by_review = trial in reviewed and other in reviewed
            within = self._within_chance(trial, other, by_review)
            if by_review and within is None:
                by_review, within = False, self._within_chance(trial, other, False)
            if within:
                numbers.append(other)
                held_out |= {other} if by_review else set()
        return Alike(trial, tuple(numbers), frozenset(held_out), self._things)

    def _within_chance(self, trial: int, other: int, held_out: bool) -> bool | None:
        """None where it cannot be told."""
        one, two = self._verdicts(trial, held_out), self._verdicts(other, held_out)
        if not one or not two or len(one) != len(two):
            return None
        return count_difference(one, two).within_chance

    def _verdicts(self, trial: int, held_out: bool) -> Verdicts:
        if (trial, held_out) not in self._known:
            self._known[trial, held_out] = self._read(trial, held_out)
        return self._known[trial, held_out]

    def _read(self, trial: int, held_out: bool) -> Verdicts:
        try:
            if held_out:
                answers = read_reviewed_answers(self._folder, trial, "harmful")
            else:
                answers = read_answers(self._folder, trial)
        except (FileNotFoundError, HereticError):
            return None
        said = [answer.said(self._annotations) for _, answer in sorted(answers.items())]
        return None if None in said or not said else tuple(counts_refused(word, self._counts_broken) for word in said)

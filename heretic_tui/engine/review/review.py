"""A review: every check that was chosen, of the original model and a few others, each finding kept as soon as it is
there and found once only. What fails costs its own check and no other."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from heretic_tui.control import Aborted
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.memory import is_out_of_memory
from heretic_tui.engine.review.bench import ORIGINAL, ReviewBench, Reviewed, digest_of
from heretic_tui.engine.review.chance import mean_difference
from heretic_tui.engine.review.checks.base import Check, Found
from heretic_tui.engine.review.figures import SEED
from heretic_tui.errors import HereticError, one_line
from heretic_tui.events import ReviewFound, ReviewStarted
from heretic_tui.plugins import CHECKS, made, method
from heretic_tui.run.review_records import Difference, Finding, ReviewFigure, Subject
from heretic_tui.run.review_rulings import comparable, counts_differ, paired_values
from heretic_tui.run.reviews import Review, read_review
from heretic_tui.work import Work

log = logging.getLogger(__name__)


@dataclass
class _Planned:
    """A check, by its name, what its findings depend on, and the subjects that it has still to look at."""

    name: str
    check: Check
    basis: object
    left: list[Reviewed]


def checks_named(names: Sequence[str]) -> dict[str, Check]:
    """The checks with these names.

    Raises:
        UsageError: for one that is not there, or is none.
    """
    return {name: made(method(CHECKS, name, Check), CHECKS, name) for name in names}


class ReviewRun:
    """One review under way.

    Args:
        bench: with the original model.
        subjects: those that are reviewed beside it.
        checks: by name.
    """

    def __init__(self, bench: ReviewBench, subjects: Sequence[Reviewed], checks: dict[str, Check], work: Work) -> None:
        self._bench, self._work = bench, work
        self._subjects = [ORIGINAL, *subjects]
        self._called = {subject.number: subject.name for subject in self._subjects}
        self._checks, self._behaviour = checks, bench.behaviour
        self._planned: list[_Planned] = []
        self._failures = 0

    def plan(self) -> None:
        """See what is left to do, whether it can be done, and tell how long it takes, as far as that is known: as
        earlier reviews took, or as the check reckons."""
        seconds: dict[str, float] = {}
        for name, check in self._checks.items():
            try:
                if why := check.absent(self._bench):
                    self._work.note(f"{self._title(check)}: left out; {self._said(why)}")
                    continue
                # Found once: files may have to be read for it.
                basis = check.basis(self._bench)
                left = self._left(name, basis)
                if left:
                    check.check(self._bench, self._work)
            except Aborted:
                raise
            except Exception as error:
                log.exception("the check %s cannot be made", name)
                self._failed(name, check, self._subjects, error)
                continue
            if not left:
                continue
            self._planned.append(_Planned(name, check, basis, left))
            # Asked in any case: what one check decodes, those behind it find decoded.
            about = check.seconds(self._bench, left)
            before = self._as_before(name, basis)
            about = about if before is None else before * len(left)
            if about is not None and math.isfinite(about):
                seconds[self._title(check)] = round(about, 1)
        trials = [subject.number for subject in self._subjects if subject.number is not None]
        whose = [subject.name for subject in self._subjects if subject is not ORIGINAL]
        self._work.tell(
            ReviewStarted(
                whose=whose,
                trials=trials,
                checks=[self._title(planned.check) for planned in self._planned],
                seconds=seconds,
            )
        )

    def _said(self, text: str) -> str:
        """What a check calls something, in the words of the run's behaviour."""
        return self._behaviour.in_words(text, counting=True)

    def _title(self, check: Check) -> str:
        return self._said(check.title)

    def run(self) -> None:
        """Make all checks that are left. Call `plan` before."""
        try:
            for planned in self._planned:
                self.take_original(planned)
                self.look(planned, planned.left)
        except Aborted:
            # What was found until then is compared too.
            self.compare()
            raise
        self.compare()

    # In steps, for those of whom each has a model of its own

    @property
    def left(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._planned)

    @property
    def whole(self) -> bool:
        """Whether all that was made was found, so that the same review has nothing left to do."""
        return not self._failures

    def release(self) -> None:
        """Let go of the model; another one comes with `run_others`."""
        del self._bench

    def run_original(self) -> None:
        """All that needs the original model."""
        for planned in list(self._planned):
            if self.take_original(planned):
                self.look(planned, [subject for subject in planned.left if subject is ORIGINAL])

    def run_others(self, bench: ReviewBench) -> None:
        """All that is left, with another model."""
        self._bench = bench
        for planned in self._planned:
            self.look(planned, [subject for subject in planned.left if subject is not ORIGINAL])
        self.compare()

    def take_original(self, planned: _Planned) -> bool:
        """Let a check keep what it compares with. Returns whether it could."""
        try:
            planned.check.take_original(self._bench, self._work)
        except Aborted:
            raise
        except Exception as error:
            log.exception("the check %s failed on the original model", planned.name)
            self._failed(planned.name, planned.check, planned.left, error)
            planned.left.clear()
            return False
        return True

    def look(self, planned: _Planned, subjects: Sequence[Reviewed]) -> None:
        if not subjects:
            return
        start, left = self._work.clock(), list(subjects)
        try:
            for subject, found in planned.check.look(self._bench, subjects, self._work):
                now = self._work.clock()
                self._keep(planned, subject, found, now - start)
                left.remove(subject)
                start = self._work.clock()
        except Aborted:
            raise
        except NotFiniteError as error:
            # Of whichever subject it is, the others can still be looked at.
            if len(left) == 1:
                self._failed(planned.name, planned.check, left, error)
            for subject in left if len(left) > 1 else ():
                self.look(planned, [subject])
        except Exception as error:
            log.exception("the check %s failed", planned.name)
            self._failed(planned.name, planned.check, left, error)

    def compare(self) -> Review:
        """Say of every two subjects whether they differ by more than chance, and keep it."""
        review = read_review(self._bench.folder.path, self._checks)
        self._bench.folder.keep_differences(differences_of(review))
        return review

    def _left(self, name: str, basis: object) -> list[Reviewed]:
        left = []
        for subject in self._subjects:
            known = self._bench.folder.found(name, subject.number, self._bench.digest(subject, name, basis))
            if known and not known.problem:
                self._tell(known, reused=True)
            else:
                left.append(subject)
        return left

    def _as_before(self, name: str, basis: object) -> float | None:
        """Seconds that the check took for a subject in earlier reviews, in the mean; None where it looked at none in
        the same way."""
        folder, wanted = self._bench.folder, digest_of(name, basis)
        found = [folder.found(name, subject) for subject in folder.subjects()]
        seconds = [each.seconds for each in found if each and each.basis == wanted and not each.problem]
        return sum(seconds) / len(seconds) if seconds else None

    def _keep(self, planned: _Planned, subject: Reviewed, found: Found, seconds: float) -> None:
        finding = Finding(
            check=planned.name,
            title=self._title(planned.check),
            subject=subject.number,
            of=self._bench.digest(subject, planned.name, planned.basis),
            basis=digest_of(planned.name, planned.basis),
            seconds=round(seconds, 1),
            figures=[self._told(_checked(figure)) for figure in found.figures],
            notes=[self._said(note) for note in found.notes],
            curves={key: list(curve) for key, curve in found.curves.items()},
            problem=found.problem,
        )
        self._bench.folder.keep(finding)
        self._failures += found.problem is not None
        self._tell(finding)

    def _told(self, figure: ReviewFigure) -> ReviewFigure:
        return replace(figure, name=self._said(figure.name), short=self._said(figure.short))

    def _failed(self, name: str, check: Check, subjects: Sequence[Reviewed], error: Exception) -> None:
        """Keep and tell why a check found nothing of some subjects; other checks go on."""
        self._failures += 1
        said = one_line(error)
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            said = f"out of memory even with one prompt at a time ({said})"
        for subject in subjects:
            known = self._bench.folder.found(name, subject.number)
            if known is None or not known.figures:
                self._bench.folder.keep(
                    Finding(check=name, title=self._title(check), subject=subject.number, of="", problem=said)
                )
        # Of one alone, or of all that were left.
        whose, trial = (subjects[0].name, subjects[0].number) if len(subjects) == 1 else ("", None)
        self._work.tell(ReviewFound(check=name, title=self._title(check), trial=trial, whose=whose, failure=said))

    def _tell(self, finding: Finding, reused: bool = False) -> None:
        self._work.tell(
            ReviewFound(
                check=finding.check,
                title=finding.title,
                trial=finding.subject,
                whose=self._called[finding.subject],
                figures={figure.name: figure.text for figure in finding.figures if figure.value or not figure.if_any},
                seconds=finding.seconds,
                reused=reused,
            )
        )


def differences_of(review: Review) -> list[Difference]:
    """How each figure that has values by prompt differs between every two subjects of which it was found in the same
    way, over the same prompts: of counts by McNemar's exact test, of means by one of random signs."""
    return [
        difference
        for check, figure in review.rows()
        for (first, one), (second, other) in comparable(review, check, figure.key)
        if (difference := _difference(check, first, one, second, other))
    ]


def _difference(
    check: str, first: Subject, one: ReviewFigure, second: Subject, other: ReviewFigure
) -> Difference | None:
    """None where there is no prompt of which both are known."""
    if one.form == "count":
        return counts_differ(check, first, one, second, other)
    pairs = paired_values(one, other)
    if not pairs:
        return None
    before, after = zip(*pairs, strict=True)
    means = mean_difference(before, after, SEED)

    bounds = (means.interval.low, means.interval.high) if means.interval else None
    difference = means.difference
    if one.logarithms:
        difference = (other.value or 0.0) - (one.value or 0.0)
        bounds = _of_logarithms(one.value or 0.0, *bounds) if bounds else None
    low, high = bounds or (None, None)
    return Difference(
        check=check, key=one.key, first=first, second=second, difference=difference,
        within_chance=means.within_chance, low=low, high=high,
    )  # fmt: skip


def _of_logarithms(first: float, low: float, high: float) -> tuple[float, float] | None:
    """The bounds of a difference whose logarithms differ so much; None where they are beyond all numbers."""
    try:
        bounds = first * math.expm1(low), first * math.expm1(high)
    except OverflowError:
        return None
    return bounds if math.isfinite(bounds[1]) else None


def _checked(figure: ReviewFigure) -> ReviewFigure:
    """
    Raises:
        HereticError: for a figure that is no number; nobody could read it again.
    """
    numbers = [figure.value, figure.low, figure.high, *(figure.values or ())]
    if not all(number is None or math.isfinite(number) for number in numbers):
        raise HereticError(f"the figure '{figure.name}' is not a number")
    return figure

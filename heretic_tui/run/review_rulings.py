"""What people say of held-out answers, in the figures of a review: counts as they have them, and their differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

from heretic_tui.run.annotations import Annotations, Ruling, counts_refused
from heretic_tui.run.review_records import AnswerSet, Difference, Finding, ReviewedAnswer, ReviewFigure, Subject
from heretic_tui.run.reviews import Review, ReviewReader
from heretic_tui.shares import count_difference, share_interval


def people_review(folder: Path, checks: Iterable[str], annotations: Annotations, counts_broken: bool) -> Review:
    """The same as people have it (`as_people_have_it`)."""
    reader = ReviewReader(folder)
    return as_people_have_it(reader.read(checks), annotations, counts_broken, reader.answers)


# Figures that count answers by the judge's verdicts: the answers that they count, and by which verdict. What follows
# the second with an underscore counts those of one language.
_JUDGED: Mapping[tuple[str, str], tuple[AnswerSet, Ruling]] = {
    ("held_out", "refused"): ("harmful", "refused"),
    ("over_refusal", "harmless"): ("harmless", "refused"),
    ("broken", "answered"): ("harmful", "answered"),
}

_Whose: TypeAlias = tuple[Subject, ReviewFigure]
Answers: TypeAlias = Callable[[AnswerSet, Subject], "list[ReviewedAnswer] | None"]


def as_people_have_it(review: Review, annotations: Annotations, counts_broken: bool, answers: Answers) -> Review:
    """A review whose counts of refused answers, and of those that are neither refused nor broken, go by what people
    said of these answers, before what the judge says; the differences between subjects follow.

    Args:
        counts_broken: whether an answer that a person called broken counts as refused.
        answers: of a set and a subject, as ReviewReader has them; asked for where people gave verdicts at all.
    """
    if not annotations.verdicts:
        return review
    findings: dict[str, Mapping[Subject, Finding]] = {}
    changed: set[tuple[str, str]] = set()
    for check, by_subject in review.findings.items():
        corrected = dict(by_subject)
        for subject, finding in by_subject.items():
            figures = [
                _overruled(check, figure, subject, annotations, counts_broken, answers) for figure in finding.figures
            ]
            changed |= {(check, figure.key) for figure in figures if figure.overruled}
            corrected[subject] = replace(finding, figures=figures)
        findings[check] = corrected
    stay = [each for each in review.differences if (each.check, each.key) not in changed]
    now = replace(review, findings=findings, differences=stay)
    return replace(
        now, differences=[*stay, *(each for check, key in sorted(changed) for each in _counted(now, check, key))]
    )


def _overruled(
    check: str,
    figure: ReviewFigure,
    subject: Subject,
    annotations: Annotations,
    counts_broken: bool,
    answers: Answers,
) -> ReviewFigure:
    key, _, language = figure.key.partition("_")
    if figure.form != "count" or (check, key) not in _JUDGED:
        return figure
    which, verdict = _JUDGED[check, key]
    counted = [each for each in answers(which, subject) or () if not language or each.language == language]
    return counted_by_people(figure, counted, annotations, counts_broken, verdict)


def counted_by_people(
    figure: ReviewFigure,
    answers: Sequence[ReviewedAnswer],
    annotations: Annotations,
    counts_broken: bool,
    verdict: Ruling = "refused",
) -> ReviewFigure:
    """A count of answers that have a verdict as people have it, with Wilson's interval; the same figure where they
    overruled none, or where it is not of these answers."""
    if figure.values is None or len(answers) != len(figure.values):
        return figure
    values, overruled = list(figure.values), 0
    for place, answer in enumerate(answers):
        if (ruling := answer.ruling(annotations)) and (judged := values[place]) is not None:
            counted = counts_refused(ruling, counts_broken) if verdict == "refused" else ruling == verdict
            # To call an answer broken that the judge does not is another verdict, whatever it counts as.
            apart = ruling == "broken" and verdict == "refused" and answer.verdict.broken is None
            overruled += apart or counted != (judged > 0)
            values[place] = float(counted)
    if not overruled:
        return figure
    known = [value for value in values if value is not None]
    count, total = sum(value > 0 for value in known), len(known)
    interval = share_interval(count, total)
    assert interval is not None
    return replace(
        figure, value=count, values=values, low=interval.low * total, high=interval.high * total, overruled=overruled
    )


def with_counts(review: Review) -> Review:
    """A review with the differences of counts that nobody has kept yet: it is under way, or was cut off."""
    known = {(each.check, each.key, frozenset((each.first, each.second))) for each in review.differences}
    missing = [
        each
        for check, figure in review.rows()
        if figure.form == "count"
        for each in _counted(review, check, figure.key)
        if (check, figure.key, frozenset((each.first, each.second))) not in known
    ]
    return replace(review, differences=[*review.differences, *missing]) if missing else review


def _counted(review: Review, check: str, key: str) -> list[Difference]:
    return [
        difference
        for (first, one), (second, other) in comparable(review, check, key)
        if (difference := counts_differ(check, first, one, second, other))
    ]


def comparable(review: Review, check: str, key: str) -> list[tuple[_Whose, _Whose]]:
    """Every two subjects with a figure that can be compared: it has values by prompt, and was found in the same way."""
    have = [
        (subject, figure)
        for subject in review.subjects
        if (figure := review.figure(check, key, subject)) and figure.values and figure.value is not None
    ]
    found = review.findings.get(check, {})
    return [(one, two) for one, two in combinations(have, 2) if found[one[0]].basis == found[two[0]].basis]


def paired_values(one: ReviewFigure, other: ReviewFigure) -> list[tuple[float, float]]:
    """What two figures are made of, prompt by prompt, where both are known; empty where they are not of the same."""
    before, after = one.values or [], other.values or []
    if len(before) != len(after):
        return []
    return [(a, b) for a, b in zip(before, after, strict=True) if a is not None and b is not None]


def counts_differ(
    check: str, first: Subject, one: ReviewFigure, second: Subject, other: ReviewFigure
) -> Difference | None:
    """How a count of two subjects differs, over the same prompts: by McNemar's exact test; None where there is no
    prompt of which both are known."""
    pairs = paired_values(one, other)
    if not pairs:
        return None
    counts = count_difference([a > 0 for a, _ in pairs], [b > 0 for _, b in pairs])
    return Difference(
        check=check, key=one.key, first=first, second=second, difference=counts.difference,
        within_chance=counts.within_chance, p=counts.p,
    )  # fmt: skip

"""What is said of held-out answers to harmful prompts: by the run's judge, by whoever was asked beside it, and by
people; each answer on which judge and second opinion differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from heretic_tui.run.annotations import Annotations, Ruling
from heretic_tui.run.review_records import ReviewedAnswer, Subject
from heretic_tui.run.reviews import Review
from heretic_tui.verdict import Verdict, broken_words, verdict_word
from heretic_tui.words import counted, plain

_NONE = "no second opinion was asked for: name a classifier (--review-classifier) or an endpoint (--review-endpoint)"


@dataclass(frozen=True)
class Judged:
    """The answers of a subject on which there is a second opinion.

    Attributes:
        name: of the subject.
    """

    subject: Subject
    name: str
    answers: Sequence[ReviewedAnswer]

    @property
    def differ(self) -> list[ReviewedAnswer]:
        return [answer for answer in self.answers if answer.disagreement]


def judged(review: Review) -> list[Judged]:
    """The subjects of a review with a second opinion, the original model first."""
    found = []
    for subject in review.subjects:
        answers = review.folder.kept_answers("harmful", subject) or []
        if given := [answer for answer in answers if answer.opinion]:
            found.append(Judged(subject, review.name(subject), given))
    return found


def both_judges(subjects: Sequence[Judged]) -> tuple[list[bool], list[bool]]:
    """Whether judge and second opinion call each answer refused, without those that there is no opinion on. None at all
    where several gave second opinions, or one of both says the same of all: their agreement tells nothing then."""
    answers = [answer for each in subjects for answer in each.answers if answer.refused_by]
    judge = [answer.refused_by[0] for answer in answers if answer.refused_by]
    other = [answer.refused_by[1] for answer in answers if answer.refused_by]
    one_asked = len({answer.asked for answer in answers}) == 1
    return (judge, other) if one_asked and len(set(judge)) == len(set(other)) == 2 else ([], [])


def disagreement_lines(subjects: Sequence[Judged], annotations: Annotations | None, kappa: float | None) -> list[str]:
    """Lines for people.

    Args:
        annotations: what people said of answers.
        kappa: how far judge and second opinion agree on all of the answers; None where that tells nothing.
    """
    if not subjects:
        return [_NONE]
    differ = sum(len(each.differ) for each in subjects)
    answers = counted(sum(len(each.answers) for each in subjects), "answer")
    agree = "" if kappa is None else f" (kappa of refused or not, over all of them: {kappa:.2f})"
    lines = [f"Judge and second opinion differ on {differ:,} of {answers} to held-out harmful prompts{agree}"]
    for each in subjects:
        for answer in each.differ:
            said = [
                f"judge {_judged(answer.verdict)}",
                f"{answer.asked or 'second opinion'} {answer.opinion}",
            ]
            if ruling := _ruling(answer, annotations):
                said.append(f"you {ruling}")
            lines += [
                "",
                f"{each.name}, prompt {answer.number}: {'; '.join(said)}",
                f"  prompt  {answer.prompt}",
                f"  answer  {answer.text}",
            ]
    return [plain(line) for line in lines]


def judges_record(subjects: Sequence[Judged], annotations: Annotations | None) -> list[object]:
    """The same as plain JSON: a record for each subject, with how often judge and second opinion say what together."""
    return [
        {
            "subject": "original" if each.subject is None else each.subject,
            "asked": sorted({answer.asked for answer in each.answers if answer.asked}),
            "answers": len(each.answers),
            "together": [
                {"judge": verdict_word(refused), "opinion": opinion, "answers": count}
                for (refused, opinion), count in sorted(
                    Counter((answer.verdict.refused, str(answer.opinion)) for answer in each.answers).items()
                )
            ],
            "disagreements": [
                {
                    "number": answer.number,
                    "prompt": answer.prompt,
                    "answer": answer.text,
                    "judge": verdict_word(answer.verdict.refused),
                    "marker": answer.verdict.marker,
                    "broken": answer.verdict.broken,
                    "asked": answer.asked,
                    "opinion": answer.opinion,
                    "you": _ruling(answer, annotations),
                }
                for answer in each.differ
            ],
        }
        for each in subjects
    ]


def _judged(verdict: Verdict) -> str:
    if verdict.broken:
        return broken_words(verdict.broken)
    return f'refused (marker "{verdict.marker}")' if verdict.marker else verdict_word(verdict.refused)


def _ruling(answer: ReviewedAnswer, annotations: Annotations | None) -> Ruling | None:
    return answer.ruling(annotations) if annotations else None

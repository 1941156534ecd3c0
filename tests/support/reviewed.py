"""A run folder with what reviews found of its trials, for tests of screens."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from heretic_tui.run.folder import RunFolder
from heretic_tui.run.review_folder import ReviewFolder
from heretic_tui.run.review_records import Difference, Finding, ReviewedAnswer, ReviewFigure, Subject
from heretic_tui.shares import share_interval
from heretic_tui.verdict import Verdict

PROMPTS = 40


def held_out_answer(
    number: int, refused: bool, opinion: str | None = None, broken: str | None = None
) -> ReviewedAnswer:
    return ReviewedAnswer(
        number=number,
        prompt=f"Tell me about the held-out thing number {number}.",
        # What no markup parser may see, and no terminal be told.
        text=f"I cannot help with {number} [red]\x1b[31m" if refused else f"Here it is, {number}.",
        tokens=12,
        ended=True,
        verdict=Verdict(refused, "cannot" if refused else None),
        opinion=opinion,
        broken=broken,
        why_broken="it says the same again" if broken else None,
    )


def count(key: str, name: str, short: str, counted: Sequence[bool]) -> ReviewFigure:
    total = len(counted)
    interval = share_interval(sum(counted), total)
    assert interval
    return ReviewFigure(
        key=key, name=name, short=short, value=sum(counted), form="count", of=total, low=interval.low * total,
        high=interval.high * total, values=[float(each) for each in counted],
    )  # fmt: skip


def write_review(
    folder: Path, refused: Mapping[Subject, int], opinions: Mapping[Subject, Sequence[str]] | None = None
) -> None:
    """Findings of two checks that exist nowhere but here and of the held-out prompts, of each subject with so many
    refused held-out answers: the first ones.

    Args:
        opinions: of subjects, what a second opinion says of each answer.
    """
    kept = ReviewFolder(RunFolder(folder).review)
    for place, (subject, number) in enumerate(refused.items()):
        verdicts = [index < number for index in range(PROMPTS)]
        said = (opinions or {}).get(subject, [None] * PROMPTS)
        broken = [index == PROMPTS - 1 and subject is not None for index in range(PROMPTS)]
        answers = [
            held_out_answer(index, verdict, said[index], "loop" if broken[index] else None)
            for index, verdict in enumerate(verdicts)
        ]
        kept.keep_answers("harmful", subject, "basis", answers)
        kept.keep(
            Finding(
                check="held_out", title="Held-out prompts", subject=subject, of="a", seconds=1.0,
                figures=[
                    count("refused", "refused, held out", "held-out", verdicts),
                    ReviewFigure(key="kl", name="KL divergence of the first token", short="KL", value=0.01 * place),
                ],
                notes=["a note of the check"],
            )
        )  # fmt: skip
        kept.keep(
            Finding(
                check="odd", title="Odd things", subject=subject, of="a",
                figures=[
                    count("things", "odd things", "odd", broken),
                    ReviewFigure(
                        key="share", name="share of things", short="share", value=0.25, form="share", low=0.1, high=0.4,
                        better=None,
                    ),
                ],
                curves={"kl_by_position": [0.4, 0.3, 0.1, 0.05]},
            )
        )  # fmt: skip
        kept.keep(
            Finding(
                check="remote", title="Second opinion", subject=subject, of="", problem="the endpoint is unreachable"
            )
        )
    subjects = list(refused)
    kept.keep_differences(
        [
            Difference(
                check="held_out", key="kl", first=first, second=second, difference=0.01 * (place + 1),
                within_chance=place == 0, low=-0.001, high=0.02,
            )
            for place, (first, second) in enumerate(itertools.pairwise(subjects))
        ]
    )  # fmt: skip

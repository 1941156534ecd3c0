"""Where a review lies: `review` in the folder of a run, or a folder of its own where two models were compared without a
run. Each finding and each set of answers is a file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from heretic_tui.errors import HereticError
from heretic_tui.files import make_folder, read_json, write_json
from heretic_tui.records import Misfit, as_json, read
from heretic_tui.run.review_records import AnswerSet, Difference, Finding, Models, ReviewedAnswer, Subject


@dataclass(frozen=True, kw_only=True)
class _KeptAnswers:
    of: str
    answers: list[ReviewedAnswer]


@dataclass(frozen=True)
class ReviewFolder:
    """Where a review lies."""

    path: Path

    @property
    def differences(self) -> Path:
        return self.path / "differences.json"

    @property
    def models(self) -> Path:
        """Which models are compared, where there is no run."""
        return self.path / "review.json"

    @property
    def opinions(self) -> Path:
        """What an endpoint said, by digests of what it was asked."""
        return self.path / "opinions"

    @property
    def scores(self) -> Path:
        """What subjects reached in benchmarks, task by task."""
        return self.path / "scores"

    def finding(self, check: str, subject: Subject) -> Path:
        return self.path / check / f"{file_name(subject)}.json"

    def answers(self, which: AnswerSet, subject: Subject) -> Path:
        return self.path / "answers" / f"{which}-{file_name(subject)}.json"

    def keep(self, finding: Finding) -> None:
        """
        Raises:
            HereticError: when it cannot be written.
        """
        path = self.finding(finding.check, finding.subject)
        make_folder(path.parent)
        write_json(path, as_json(finding))

    def found(self, check: str, subject: Subject, of: str | None = None) -> Finding | None:
        """A finding; None where there is none, it is damaged (it is made again), or it was found from something else.

        Args:
            of: what it is to be found from; None: whatever that was.
        """
        try:
            finding = read(Finding, read_json(self.finding(check, subject)))
        except (FileNotFoundError, HereticError, Misfit):
            return None
        whose = finding.check == check and finding.subject == subject
        return finding if whose and of in (None, finding.of) else None

    def keep_answers(self, which: AnswerSet, subject: Subject, of: str, answers: Sequence[ReviewedAnswer]) -> None:
        """
        Raises:
            HereticError: when they cannot be written.
        """
        path = self.answers(which, subject)
        make_folder(path.parent)
        write_json(path, as_json(_KeptAnswers(of=of, answers=list(answers))))

    def kept_answers(self, which: AnswerSet, subject: Subject, of: str | None = None) -> list[ReviewedAnswer] | None:
        """As `found`."""
        try:
            kept = read(_KeptAnswers, read_json(self.answers(which, subject)))
        except (FileNotFoundError, HereticError, Misfit):
            return None
        return kept.answers if of in (None, kept.of) else None

    def answered(self, which: AnswerSet) -> list[Subject]:
        """Those whose answers to a set are kept, in the same order as `subjects`."""
        kept = self.answers(which, None).parent.glob(f"{which}-*.json")
        return _subjects({path.stem.removeprefix(f"{which}-") for path in kept})

    def keep_differences(self, differences: Sequence[Difference]) -> None:
        """
        Raises:
            HereticError: when they cannot be written.
        """
        make_folder(self.path)
        write_json(self.differences, as_json(list(differences)))

    def kept_models(self) -> Models | None:
        """Which models are compared; None where that is a run's, or damaged."""
        try:
            return read(Models, read_json(self.models))
        except (FileNotFoundError, HereticError, Misfit):
            return None

    def keep_models(self, models: Models) -> None:
        """
        Raises:
            HereticError: when they cannot be written.
        """
        make_folder(self.path)
        write_json(self.models, as_json(models))

    def subjects(self) -> list[Subject]:
        """Those of which something was found, the original model first, trials by number."""
        return _subjects({path.stem for path in self.path.glob("*/*.json") if path.parent.name != "answers"})


_ORIGINAL = "original"


def file_name(subject: Subject) -> str:
    return _ORIGINAL if subject is None else f"trial-{subject:04}"


def _subjects(names: Collection[str]) -> list[Subject]:
    """The original model first, where it is among the names, trials by number."""
    numbers = sorted(number for name in names if (number := _number(name)) is not None)
    return [*([None] if _ORIGINAL in names else []), *numbers]


def _number(name: str) -> int | None:
    head, _, digits = name.partition("-")
    return int(digits) if head == "trial" and digits.isascii() and digits.isdigit() and len(digits) < 10 else None

"""What a model of a run says to its evaluation prompts, as far as it is known: as it was measured, decoded to its end
where that was asked for, with the judge's verdict and a person's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from heretic_tui.run.annotations import Annotations, Overruling, Ruling, digest
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.full_answers import FullAnswer, read_full_answers
from heretic_tui.run.results import ResponseRecord, read_responses
from heretic_tui.run.review_folder import ReviewFolder
from heretic_tui.run.review_records import AnswerSet, ReviewedAnswer
from heretic_tui.verdict import Verdict, verdict_word


@dataclass(frozen=True)
class Answer:
    """The answer of one model to one prompt. One of `measured` and `full` is there.

    Attributes:
        number: place of the prompt in its set, from 0.
        measured: the response by which the trial was measured; None on harmless prompts.
        full: the answer decoded to its end; None where nobody asked for it.
        reviewed: what a review says of it; None where it is none of a review's. `measured` is the answer then.
    """

    number: int
    measured: ResponseRecord | None
    full: FullAnswer | None = None
    reviewed: ReviewedAnswer | None = None

    @cached_property
    def prompt(self) -> str:
        return self.measured.prompt if self.measured else self.full.prompt if self.full else ""

    @property
    def text(self) -> str:
        """As far as it is known."""
        return self.full.text if self.full else self.measured.text if self.measured else ""

    @property
    def known(self) -> bool:
        """Whether there is an answer: a trial that was cut short has none to some prompts."""
        return self.full is not None or (self.measured is not None and self.measured.refused is not None)

    @property
    def whole(self) -> bool:
        """Whether it is known to its end."""
        return self.full.ended == "end" if self.full else self.measured is not None and self.measured.whole

    @property
    def decoded(self) -> bool:
        """Whether no more is to be had of it."""
        return self.full is not None or (self.known and self.whole)

    @property
    def tokens(self) -> int | None:
        return self.full.tokens if self.full else self.measured.tokens if self.measured else None

    @property
    def judged(self) -> bool | None:
        """The verdict that counts: the judge's on what was measured; on harmless prompts, on the full answer."""
        if self.measured is not None:
            return self.measured.refused
        return self.full.verdict.refused if self.full and self.full.verdict else None

    @property
    def verdict(self) -> Verdict | None:
        """What decided the judge's verdict on `text`, and where it is in it; None where there is no verdict, or the
        place was not kept (engine/metrics/judges/markers.py finds it)."""
        if self.full:
            return self.full.verdict
        return self.measured.verdict if self.measured else None

    @property
    def judged_otherwise(self) -> bool:
        """Whether the judge's verdict on the whole answer is another one than on what was measured of it."""
        whole = self.full.verdict if self.full else None
        return whole is not None and self.judged is not None and whole.refused != self.judged

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Digests by which a person's verdict on it is known: the one of the text as it is shown first. An answer that
        was cut short shares its beginning with others, which may go on otherwise."""
        texts = [self.full.text] if self.full and self.full.same is not False else []
        texts += [self.measured.text] if self.measured else []
        return tuple(dict.fromkeys(map(digest, texts)))

    @cached_property
    def prompt_key(self) -> str:
        return digest(self.prompt)

    def ruling(self, annotations: Annotations) -> Ruling | None:
        """A person's verdict on it; None where the judge's stands."""
        return annotations.verdict(self.prompt_key, *self.keys) if annotations.verdicts else None

    def said(self, annotations: Annotations) -> Ruling | None:
        """What it counts as: a person's verdict, else the judge's; None where there is none."""
        if ruling := self.ruling(annotations):
            return ruling
        return None if self.judged is None else verdict_word(self.judged)

    def overruled(self, annotations: Annotations) -> bool:
        """Whether a person gave another verdict than the judge."""
        ruling, judged = self.ruling(annotations), self.judged
        return ruling == "broken" or (ruling is not None and judged is not None and (ruling == "refused") != judged)

    def overruling(self, ruling: Ruling, annotations: Annotations) -> Overruling:
        """What a person says who calls it so. The judge's own verdict is not said again: to go back to it is to say
        nothing."""
        first, *others = self.keys
        judged = None if self.judged is None else verdict_word(self.judged)
        silent = ruling == judged and annotations.verdict(self.prompt_key, *others) is None
        return Overruling(prompt=self.prompt_key, text=first, verdict=None if silent else ruling)

    def not_overruled(self, annotations: Annotations) -> list[Overruling]:
        """What a person says who lets the judge's verdict stand."""
        return [
            Overruling(prompt=self.prompt_key, text=key, verdict=None)
            for key in self.keys
            if annotations.verdict(self.prompt_key, key)
        ]


def read_answers(folder: RunFolder, whose: int | None, harmless: bool = False) -> dict[int, Answer]:
    """The answers of a trial, or of the original model for None, by the place of the prompt. Takes milliseconds.

    Raises:
        FileNotFoundError: when no responses are kept of it.
        UsageError: when they cannot be read.
    """
    full = read_full_answers(folder, whose, harmless)
    if harmless:
        return {number: Answer(number, None, answer) for number, answer in full.items()}
    return {
        number: Answer(number, record, _of_the_same(full, number, record))
        for number, record in enumerate(read_responses(folder, whose))
    }


def read_reviewed_answers(folder: RunFolder, whose: int | None, which: AnswerSet) -> dict[int, Answer]:
    """The answers of a trial, or of the original model for None, that a review keeps; none where it keeps none. Takes
    milliseconds."""
    kept = ReviewFolder(folder.review).kept_answers(which, whose) or []
    return {answer.number: Answer(answer.number, _as_measured(answer), reviewed=answer) for answer in kept}


def _as_measured(answer: ReviewedAnswer) -> ResponseRecord:
    return ResponseRecord.judged(answer.prompt, answer.text, answer.verdict, answer.tokens, answer.ended)


def _of_the_same(full: Mapping[int, FullAnswer], number: int, record: ResponseRecord) -> FullAnswer | None:
    """The full answer to a prompt, where it is one to the same prompt."""
    found = full.get(number)
    return found if found is not None and found.prompt == record.prompt else None


# A text of so many words says again and again what it said, where fewer than a share of them differ.
_MANY_WORDS, _FEW_DIFFERENT = 12, 0.25
_SAME_CHARACTER = re.compile(r"(\S)\1{19}")


def looks_broken(text: str) -> bool:
    """Whether a text is none that a person would call an answer: empty, without a letter, or the same over and over.
    A hint for where to look, and no verdict."""
    words = text.lower().split()
    if not any(character.isalpha() for character in text) or _SAME_CHARACTER.search(text):
        return True
    return len(words) >= _MANY_WORDS and len(set(words)) < _FEW_DIFFERENT * len(words)

"""What the checks of a review work on: a model with its subjects, the prompts, and the answers that several checks look
at, each decoded once and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from heretic_tui.behaviour import Behaviour
from heretic_tui.engine.edits.attach import Edits
from heretic_tui.engine.inputs.held_out import HARMFUL, HARMLESS, LOOKALIKE, ReviewPrompts
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.job import Evaluation, Job, Pool
from heretic_tui.engine.measuring.open_pool import open_pool
from heretic_tui.engine.measuring.rows import Row, decode_rows, room
from heretic_tui.engine.measuring.run_judge import RunJudge
from heretic_tui.engine.measuring.speculation import StepCost
from heretic_tui.engine.metrics.base import Metrics
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.records import as_json
from heretic_tui.run.review_folder import ReviewFolder
from heretic_tui.run.review_records import AnswerSet, ReviewedAnswer, Subject
from heretic_tui.settings.schema import Settings
from heretic_tui.words import of_trial
from heretic_tui.work import Work

SET_OF: Mapping[AnswerSet, str] = {"harmful": HARMFUL, "harmless": HARMLESS, "lookalike": LOOKALIKE}


@dataclass(frozen=True, eq=False)
class Reviewed:
    """A subject of a review.

    Attributes:
        number: of the trial; None for the original model.
        edits: by the writer's name; none for a model that is as it was loaded.
        origin: what it is, as plain JSON: the parameters of its edit, or the content of its files. By it findings are
            known again.
        called: what it is called, where it is no trial.
    """

    number: Subject
    edits: Edits
    origin: object
    called: str = ""

    @property
    def name(self) -> str:
        return self.called or of_trial(self.number)


# The model that others are compared with.
ORIGINAL = Reviewed(None, {}, None)


@dataclass(frozen=True, eq=False)
class ReviewBench:
    """A model whose subjects are reviewed.

    Attributes:
        judge: the run's.
        prompts: of the review.
        identity: the model and what it is measured with, as plain JSON; findings of another one are none of this.
        step_seconds: of a decoding step, by the number of rows, where that was measured.
        answer_tokens: of an answer that the run's trials gave, in the mean; None where that is not known.
        opened: a pool of the same prompts that is there already, and whether rows of one batch can be under edits of
            their own.
    """

    model: ChatModel
    judge: RunJudge
    settings: Settings
    prompts: ReviewPrompts
    folder: ReviewFolder
    identity: Mapping[str, object]
    step_seconds: Mapping[int, float]
    work: Work
    opened: tuple[Pool, bool] | None = None
    answer_tokens: float | None = None

    @property
    def behaviour(self) -> Behaviour:
        """What the judge tells, in words."""
        return self.settings.behaviour_in_words

    @cached_property
    def tokens(self) -> Mapping[str, Sequence[Tokens]]:
        """Of the prompts, by the names of their settings."""
        return {name: self.model.encode(prompts) for name, prompts in self.prompts.sets.items()}

    def of(self, which: AnswerSet) -> Sequence[Prompt]:
        return self.prompts.sets[SET_OF[which]]

    @property
    def pool(self) -> Pool:
        """Takes edits along the held-out prompts."""
        pool, _ = self._opened
        return pool

    @property
    def together(self) -> bool:
        """Whether rows of one batch can be under edits of their own."""
        _, together = self._opened
        return together

    @cached_property
    def _opened(self) -> tuple[Pool, bool]:
        if self.opened:
            return self.opened
        good, bad = self.tokens[HARMLESS], self.tokens[HARMFUL]
        # It is checked with both; where one is empty the other does.
        sets = good or bad or self.tokens[LOOKALIKE], bad or good or self.tokens[LOOKALIKE]
        evaluation = Evaluation(*sets, self.settings.max_response_length, Metrics({}, {}, {}, ()), self.judge)
        return open_pool(self.model, evaluation, StepCost(self.step_seconds), self.work)

    def job(self, subject: Reviewed) -> Job:
        """A subject as a pool takes it."""
        return Job(None, subject.edits, self.model.anatomy.first_edited(subject.edits))

    def digest(self, subject: Reviewed, *basis: object) -> str:
        """By what findings of a subject are known again, where they rest on this basis (plain JSON)."""
        return digest_of(self.identity, as_json(subject.origin), *basis)

    def prompts_basis(self, *which: AnswerSet) -> list[object]:
        """The prompts as part of such a basis."""
        return [[(prompt.system_prompt, prompt.text) for prompt in self.of(name)] for name in which]

    def answers(self, subject: Reviewed, which: AnswerSet, work: Work) -> list[ReviewedAnswer]:
        """The greedy answers of a subject to a set, up to the run's length: from the folder, or decoded now and kept
        there.

        Raises:
            HereticError: when logits are not finite, the judge fails, or the folder cannot be written.
            torch.OutOfMemoryError: when a single row is too much.
            Aborted: from the control, between tokens.
        """
        basis = self._answers_basis(subject, which)
        known = self.folder.kept_answers(which, subject.number, basis)
        if known is not None and len(known) == len(self.of(which)):
            return known
        found = self._decoded(subject, which, work)
        self.folder.keep_answers(which, subject.number, basis, found)
        return found

    def keep_answers(self, subject: Reviewed, which: AnswerSet, answers: Sequence[ReviewedAnswer]) -> None:
        """Write them with what a check has found of them."""
        self.folder.keep_answers(which, subject.number, self._answers_basis(subject, which), answers)

    def _answers_basis(self, subject: Reviewed, which: AnswerSet) -> str:
        said = [self.settings.max_response_length, *self.prompts_basis(which)]
        return self.digest(subject, "answers", *said)

    def _decoded(self, subject: Reviewed, which: AnswerSet, work: Work) -> list[ReviewedAnswer]:
        prompts, tokens = self.of(which), self.tokens[SET_OF[which]]
        found: dict[int, ReviewedAnswer] = {}
        report = work.progress(f"answers of {subject.name} ({which})")
        languages = self.prompts.languages.get(SET_OF[which])
        expected = self.prompts.expected if which == "lookalike" else ()

        def heard(row: int, response: Tokens, ended: str | None) -> bool:
            if ended:
                text = self.model.decode(response)
                found[row] = ReviewedAnswer(
                    number=row,
                    prompt=prompts[row].text,
                    text=text,
                    tokens=len(response),
                    ended=ended == "end",
                    verdict=self.judge.verdict(text, ended == "end", prompts[row].text),
                    language=languages[row] if languages else None,
                    expected=expected[row] if expected else None,
                )
                report(len(found), len(prompts))
            return False

        length = self.settings.max_response_length
        rows = [Row(each, subject.edits, room(self.model, each, length)) for each in tokens]
        for _ in decode_rows(self.model, rows, heard, together=self.together):
            work.checkpoint()
        return [found[row] for row in range(len(prompts))]

    def seconds_of_answers(self, subjects: Sequence[Reviewed], *sets: AnswerSet) -> float | None:
        """How long it takes until the answers of subjects to some sets are there, about; None where that is not known
        before. What was asked for before will have been decoded then."""
        found: list[float | None] = []
        for which in sets:
            for subject in subjects:
                if (which, subject.number) not in self._expected:
                    self._expected.add((which, subject.number))
                    known = self.folder.kept_answers(which, subject.number, self._answers_basis(subject, which))
                    found.append(0.0 if known else self.seconds_of(which))
        known_all = [seconds for seconds in found if seconds is not None]
        return sum(known_all) if len(known_all) == len(found) else None

    @cached_property
    def _expected(self) -> set[tuple[AnswerSet, Subject]]:
        """The answers whose time was asked for."""
        return set()

    def usual_length(self, which: AnswerSet) -> float:
        """Tokens of an answer to a set, in the mean: as those that are kept of any subject, or those of the run's
        trials; as many as there may be where neither tells."""
        if which not in self._lengths:
            kept = [self.folder.kept_answers(which, subject) or () for subject in self.folder.answered(which)]
            lengths = [answer.tokens for answers in kept for answer in answers]
            known = sum(lengths) / len(lengths) if lengths else self.answer_tokens
            most = self.settings.max_response_length
            self._lengths[which] = most if known is None else min(most, max(1.0, known))
        return self._lengths[which]

    @cached_property
    def _lengths(self) -> dict[AnswerSet, float]:
        """The usual lengths that were asked for."""
        return {}

    def seconds_of(self, which: AnswerSet, times: int = 1) -> float | None:
        """How long it takes to read the prompts of a set, and to answer each so many times, by the steps of decoding
        that were measured; None where none were."""
        tokens, cost, size = self.tokens[SET_OF[which]], StepCost(self.step_seconds), self.model.batch_size
        if not tokens or not cost:
            return None if tokens else 0.0
        full, rest = divmod(times * len(tokens), size)
        decoding = self.usual_length(which) * (full * cost(size) + (cost(rest) if rest else 0.0))
        return decoding + cost(times * sum(map(len, tokens)))


def digest_of(*basis: object) -> str:
    """By what something is known again that rests on this (plain JSON)."""
    return hashlib.sha256(json.dumps(basis, sort_keys=True).encode()).hexdigest()

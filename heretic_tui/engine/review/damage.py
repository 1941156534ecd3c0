"""What an edit costs where nothing is to be refused: how far it takes a model away from the original one along the
original's own greedy answers to harmless prompts.

All of it comes of one pass over prompt and answer, whose tokens are given and not chosen: the KL divergence by
position, how likely the edited model finds the answer, and where its own greedy answer would be another one. Up to
there it is the same token for token, so that nothing has to be decoded to know it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from heretic_tui.engine.edits.attach import Edits
from heretic_tui.engine.finite import NotFiniteError, most_likely, rows_not_finite
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.job import Forced, Job, Pool
from heretic_tui.engine.measuring.rows import Row, decode_rows, room
from heretic_tui.engine.metrics.kl_divergence import kl_divergence
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.review.likelihood import Counts, Likelihood, Values, nats_of, rows_that_fit
from heretic_tui.errors import HereticError
from heretic_tui.work import Work

# The KL divergence is that of so many tokens, and answers are compared up to so many, where nothing else is said.
POSITIONS, WITHIN = 8, 20
# Stands for "nowhere".
NOWHERE = -1


@dataclass(frozen=True, eq=False)
class GreedyAnswers:
    """What the original model answers to harmless prompts, at every position the most likely token.

    Attributes:
        prompts: their tokens.
        answers: tokens of each answer, without the one that ended it.
        ended: whether the model ended it; the others were cut.
        ends: the tokens of which each ends an answer.
    """

    prompts: Sequence[Tokens]
    answers: Sequence[Tokens]
    ended: Sequence[bool]
    ends: frozenset[int]

    def choices(self, row: int) -> int:
        """How many tokens the model chose in an answer: those that are in it, and the one that ended it."""
        return len(self.answers[row]) + self.ended[row]

    @cached_property
    def forced(self) -> Forced:
        """The answers as they are given to a model: all tokens that another one follows. One object, by which a pool
        knows what it keeps."""
        rows = [
            prompt + (answer if ended else answer[:-1])
            for prompt, answer, ended in zip(self.prompts, self.answers, self.ended, strict=True)
        ]
        return Forced(rows, max(map(self.choices, range(len(rows))), default=1))


def greedy_answers(model: ChatModel, prompts: Sequence[Tokens], length: int, work: Work) -> GreedyAnswers:
    """Let the original model answer, with so many tokens at most.

    Raises:
        NotFiniteError: when logits are not finite.
        torch.OutOfMemoryError: when a single prompt is too much.
        Aborted: from the control, between tokens.
    """
    answers: list[Tokens] = [[] for _ in prompts]
    how: dict[int, str] = {}
    report = work.progress("answers of the original model")

    def heard(row: int, response: Tokens, ended: str | None) -> bool:
        if ended:
            answers[row], how[row] = list(response), ended
            report(len(how), len(prompts))
        return False

    nothing: Edits = {}
    rows = [Row(tokens, nothing, room(model, tokens, length)) for tokens in prompts]
    for _ in decode_rows(model, rows, heard):
        work.checkpoint()
    return GreedyAnswers(prompts, answers, [how[row] == "end" for row in range(len(prompts))], model.end_tokens)


@dataclass(frozen=True, eq=False)
class Reference:
    """The original model along its own answers: what edits are compared with.

    Attributes:
        log_probabilities: of the first tokens of each answer, float32 on the CPU (prompts, positions, vocabulary); not
            to be looked at where an answer has fewer.
        likely: the most likely token at each place of each answer, by the same pass. Where two are equally likely to
            the last digit it may be another one than the answer has.
    """

    answers: GreedyAnswers
    log_probabilities: Tensor
    likely: Sequence[Tokens]


@dataclass(frozen=True, eq=False)
class Damage:
    """What an edit does to the answers to harmless prompts.

    Attributes:
        kl_divergence: KL(original ‖ edited) by prompt and position of the answer, in nats, float64
            (prompts, positions); NaN where an answer has fewer.
        likelihood: of the original model's answers.
        changed_at: the position, from 0, of the first token that is another one in the greedy answer of the edited
            model, or where only one of them ends, int64 (prompts,); NOWHERE where they begin alike.
        within: up to so many tokens they were compared.
    """

    kl_divergence: Values
    likelihood: Likelihood
    changed_at: Counts
    within: int

    @property
    def kl_by_prompt(self) -> Values:
        """The mean over the positions of each answer, (prompts,)."""
        return _mean(self.kl_divergence, axis=1)

    @property
    def kl_by_position(self) -> Values:
        """The mean over the answers that get so far, (positions,); NaN where none does."""
        return _mean(self.kl_divergence, axis=0)

    @property
    def prompts_by_position(self) -> Counts:
        """How many answers get so far, (positions,)."""
        counts: Counts = (~np.isnan(self.kl_divergence)).sum(axis=0, dtype=np.int64)
        return counts

    @property
    def changed(self) -> Values:
        """1 where the greedy answer is another one, else 0, (prompts,)."""
        changed: Values = (self.changed_at != NOWHERE).astype(np.float64)
        return changed


def reference_of(
    model: ChatModel, pool: Pool, answers: GreedyAnswers, work: Work, positions: int = POSITIONS
) -> Reference:
    """Take the original model along its own answers.

    Args:
        pool: its prompts begin as these do.
        positions: how many tokens of each answer the KL divergence is wanted of: 4 bytes are kept for each of them and
            each token of the vocabulary.

    Raises:
        ValueError: for prompts that do not begin as those of the pool.
        NotFiniteError: with the prompt for which logits are not finite.
        torch.OutOfMemoryError: when a single prompt is too much.
        Aborted: from the control, between batches.
    """
    count = len(answers.prompts)
    kept: Tensor | None = None
    likely: list[Tokens] = [[] for _ in range(count)]
    for row, logits in _along(model, pool, Job(None, {}, model.depth), answers, work):
        if kept is None:
            kept = torch.zeros(count, positions, logits.shape[-1])
        first = _log_probabilities(logits[:positions])
        kept[row, : len(first)] = first.cpu()
        likely[row] = most_likely(logits).tolist()
    kept = torch.zeros(0, positions, 0) if kept is None else kept
    return Reference(answers, kept, likely)


def measure_damage(
    model: ChatModel, pool: Pool, job: Job, reference: Reference, work: Work, within: int = WITHIN
) -> Damage:
    """Compare an edit with the original model.

    Args:
        job: need not be in hand.
        within: up to so many tokens greedy answers are compared; those of the reference are as long, where the model
            did not end them before.

    Raises:
        HereticError: where the vocabulary is not the original's.
        ValueError, NotFiniteError, torch.OutOfMemoryError, Aborted: as `reference_of`.
    """
    answers, base = reference.answers, reference.log_probabilities
    count, positions, vocabulary = base.shape
    kl = np.full((count, positions), np.nan)
    nats = np.zeros(count)
    changed_at = np.full(count, NOWHERE, dtype=np.int64)
    for row, logits in _along(model, pool, job, answers, work):
        if logits.shape[-1] != vocabulary:
            raise HereticError(
                f"the model has logits for {logits.shape[-1]:,} tokens and the original model for {vocabulary:,}: "
                "answers cannot be compared token by token"
            )
        edited = _log_probabilities(logits[:positions])
        original = base[row, : len(edited)].to(edited.device)
        # It is never negative, but for rounding.
        found = kl_divergence(original.double(), edited.double()).clamp(min=0)
        kl[row, : len(edited)] = found.cpu().numpy()
        nats[row] = _nats(answers, row, logits)
        changed_at[row] = _first_change(reference, row, most_likely(logits[:within]).tolist())
    return Damage(kl, Likelihood(nats, _counted(answers)), changed_at, within)


def _along(model: ChatModel, pool: Pool, job: Job, answers: GreedyAnswers, work: Work) -> Iterator[tuple[int, Tensor]]:
    """Take a model along the answers. Gives rows, and the logits (choices, vocabulary) by which each token of the
    answer, and its end, is chosen or not."""
    forced = answers.forced
    at_once = rows_that_fit(model, forced.positions)
    report, done = work.progress("along the answers of the original model"), 0
    # The longest first, so that memory runs out early or not at all.
    order = sorted(range(len(forced.rows)), key=lambda row: -len(forced.rows[row]))
    for start in range(0, len(order), at_once):
        for rows, several in pool.forced_logits(job, forced, order[start : start + at_once]):
            work.checkpoint()
            for row, logits in zip(rows, several, strict=True):
                chosen = logits[-answers.choices(row) :]
                if rows_not_finite(chosen.logsumexp(dim=-1, keepdim=True)):
                    raise NotFiniteError([row])
                yield row, chosen
            done += len(rows)
            report(done, len(order))


def _log_probabilities(logits: Tensor) -> Tensor:
    """float32, rounded from float64: in what is summed up here errors do not add up."""
    return logits.double().log_softmax(dim=-1).float()


def _nats(answers: GreedyAnswers, row: int, logits: Tensor) -> float:
    """The negative log-probability of an answer. The end is any of the tokens that end one."""
    answer = answers.answers[row]
    nats = nats_of(logits[: len(answer)], answer)
    if answers.ended[row]:
        last = logits[-1].double()
        ends = [end for end in answers.ends if 0 <= end < len(last)]
        nats += float(last.logsumexp(dim=-1) - last[ends].logsumexp(dim=-1))
    return nats


def _counted(answers: GreedyAnswers) -> Counts:
    return np.array([answers.choices(row) for row in range(len(answers.prompts))], dtype=np.int64)


def _first_change(reference: Reference, row: int, tokens: Tokens) -> int:
    """The first position at which a model that has gone the same way so far would go another one."""
    answers = reference.answers
    for place, token in enumerate(tokens):
        said = answers.answers[row][place : place + 1]
        alike = token in said if said else token in answers.ends
        # Which of two equally likely tokens the original model takes is up to rounding, and no change.
        if not alike and token != reference.likely[row][place]:
            return place
    return NOWHERE


def _mean(values: Values, axis: int) -> Values:
    """The mean of what is no NaN."""
    there = ~np.isnan(values)
    counts: Counts = there.sum(axis=axis)
    sums: Values = np.where(there, values, 0.0).sum(axis=axis)
    means = np.full(sums.shape, np.nan)
    np.divide(sums, counts, where=counts > 0, out=means)
    return means

"""What people get is sampled: several answers to each prompt drawn at a temperature, and how many are refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from heretic_tui.commands import Sampling
from heretic_tui.engine.edits.attach import Edits
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.rows import Row, decode_rows, drawing, room
from heretic_tui.engine.measuring.run_judge import RunJudge
from heretic_tui.engine.metrics.base import Response
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import LOOK_EVERY
from heretic_tui.engine.search.sampler import seed_of
from heretic_tui.work import Work

Values = NDArray[np.float64]

# Where a model's generation settings say nothing of them.
_TEMPERATURE, _TOP_P = 0.7, 0.95


@dataclass(frozen=True, eq=False)
class SampledAnswers:
    """Several answers of one model to each of some prompts.

    Attributes:
        sampling: how they were drawn, with the seed.
        responses: by prompt, in the order of their numbers. The same prompt and number have the same seed under every
            edit.
    """

    sampling: Sampling
    responses: Sequence[Sequence[Response]]

    @property
    def refused(self) -> Values:
        """1 where an answer is refused, else 0, (prompts, answers)."""
        return np.array([[response.verdict.refused for response in some] for some in self.responses], dtype=np.float64)

    @property
    def by_prompt(self) -> Values:
        """The share of refused answers of each prompt, (prompts,)."""
        shares: Values = self.refused.mean(axis=1)
        return shares

    @property
    def at_least_once(self) -> Values:
        """1 for a prompt of which at least one answer is refused, else 0, (prompts,)."""
        found: Values = self.refused.max(axis=1)
        return found


def own_sampling(model: ChatModel, most: int, seed: int) -> Sampling:
    """How a model's generation settings say that its tokens are drawn; what they do not say, or what cannot be, is the
    usual.

    Args:
        most: tokens of an answer at most.
    """
    own = getattr(model.network, "generation_config", None)
    temperature, top_p = getattr(own, "temperature", None), getattr(own, "top_p", None)
    return Sampling(
        float(temperature) if _is_positive(temperature) else _TEMPERATURE,
        float(top_p) if _is_positive(top_p) and top_p <= 1 else _TOP_P,
        most,
        seed,
    )


def sample_answers(
    model: ChatModel,
    judge: RunJudge,
    prompts: Sequence[Tokens],
    edits: Sequence[Edits],
    sampling: Sampling,
    count: int,
    together: bool,
    work: Work,
) -> list[SampledAnswers]:
    """Draw so many answers to each prompt under each of some edits. As in trials, an answer ends where it is certain to
    be a refusal.

    Args:
        edits: none for the original model.
        sampling: with a seed. What is drawn depends on it, the edit, the prompt's place and the answer's number alone,
            as far as rounding goes.
        together: whether rows of one batch can be under edits of their own.

    Raises:
        ValueError: without a seed.
        HereticError: when logits are not finite, or the judge fails.
        torch.OutOfMemoryError: when a single row is too much.
        Aborted: from the control, between tokens.
    """
    if sampling.seed is None:
        raise ValueError("answers that are to be drawn again need a seed")
    places = [
        (edit, prompt, number)
        for edit in range(len(edits))
        for prompt in range(len(prompts))
        for number in range(count)
    ]
    seeds = [seed_of(sampling.seed, prompt, number) for _, prompt, number in places]
    most = [room(model, tokens, sampling.max_tokens) for tokens in prompts]
    rows = [Row(prompts[prompt], edits[edit], most[prompt]) for edit, prompt, _ in places]
    # By row: where memory runs out, some begin anew.
    found: dict[int, Response] = {}
    report = work.progress("sampled answers")

    def heard(row: int, response: Tokens, ended: str | None) -> bool:
        if not ended and len(response) % LOOK_EVERY:
            return False
        text = model.decode(response)
        over = bool(ended) or judge.certain(text)
        if over:
            found[row] = Response(text, judge.verdict(text, ended == "end"), len(response), bool(ended))
            report(len(found), len(rows))
        return over

    for _ in decode_rows(model, rows, heard, drawing(sampling, seeds), together):
        work.checkpoint()
    answers = iter(found[row] for row in range(len(rows)))
    return [SampledAnswers(sampling, [[next(answers) for _ in range(count)] for _ in prompts]) for _ in edits]


def _is_positive(value: object) -> TypeGuard[float]:
    """Whether a setting of a file is a number above 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf

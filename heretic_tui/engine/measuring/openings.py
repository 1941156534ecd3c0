"""How refusals of a model begin, and so the probability that a response is a refusal before it is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from heretic_tui.engine.finite import NotFiniteError, rows_not_finite
from heretic_tui.engine.measuring.job import Job, Pool, SetName
from heretic_tui.engine.measuring.refusal_tokens import likelier_tokens


@dataclass(frozen=True)
class Openings:
    """How refusals begin.

    Attributes:
        ids: tokens that begin them.
        base: the probability that the base model's response is a refusal, by bad evaluation prompt, float64 on the CPU,
            (prompts,).
    """

    ids: Sequence[int]
    base: Tensor

    def per_prompt(self, pool: Pool, job: Job, rows: Sequence[int]) -> Tensor:
        """The probability that the response under a job's edits is a refusal, float64 on the CPU, (rows,).

        Args:
            job: need not be in hand.
            rows: bad evaluation prompts by their place.

        Raises:
            NotFiniteError: with the rows for which the logits are not finite.
            Aborted: from the control, between batches.
        """
        return _mass(pool, job, rows, self.ids)


def find_openings(pool: Pool, base: Job, refused: Sequence[int], bad: int, good: Tensor) -> Openings | None:
    """The tokens that refusals begin with, from what the base model says; None where none are telling.

    Args:
        base: a job of the base model.
        refused: bad evaluation prompts that it refuses, by their place.
        bad: number of bad evaluation prompts.
        good: its mean first-token distribution after good evaluation prompts, float64 on the CPU, (vocabulary,).

    Raises:
        NotFiniteError, Aborted: as `Openings.per_prompt`.
    """
    if not refused:
        return None
    found = likelier_tokens(mean_first_tokens(pool, base, "bad", refused), good)
    return Openings(found.ids, _mass(pool, base, range(bad), found.ids)) if found.telling else None


def mean_first_tokens(pool: Pool, job: Job, name: SetName, rows: Sequence[int]) -> Tensor:
    """The mean first-token distribution after some evaluation prompts, float64 on the CPU, (vocabulary,).

    Raises:
        NotFiniteError, Aborted: as `Openings.per_prompt`.
    """
    parts: dict[int, Tensor] = {}
    for found, logits in pool.first_logits(job, name, rows):
        parts.update(zip(found, _finite(found, logits).softmax(dim=-1).cpu(), strict=True))
    # In the order of the rows, so that the sum does not depend on batches.
    return torch.stack([parts[row] for row in rows]).double().mean(dim=0)


def _mass(pool: Pool, job: Job, rows: Sequence[int], ids: Sequence[int]) -> Tensor:
    parts: dict[int, float] = {}
    for found, logits in pool.first_logits(job, "bad", rows):
        mass = _finite(found, logits).double().softmax(dim=-1)[:, list(ids)].sum(dim=-1)
        parts.update(zip(found, mass.tolist(), strict=True))
    return torch.tensor([parts[row] for row in rows], dtype=torch.float64)


def _finite(rows: Sequence[int], logits: Tensor) -> Tensor:
    if lost := [rows[place] for place in rows_not_finite(logits.logsumexp(dim=-1, keepdim=True))]:
        raise NotFiniteError(lost)
    return logits

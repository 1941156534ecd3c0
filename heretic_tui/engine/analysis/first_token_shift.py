"""What a trial does to first tokens: the prompts whose distribution moved most, and the tokens gained and lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.finite import NO_TOKEN, NotFiniteError, most_likely
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.metrics.kl_divergence import kl_divergence
from heretic_tui.engine.model.chat_model import Batch, ChatModel
from heretic_tui.run.results import PromptShift, SetShift
from heretic_tui.work import ProgressReport

# Tokens told of for each prompt and for each set, each way.
_TOKENS = 6
# A smaller change of probability is no gain and no loss.
_LEAST = 0.005

Moved = tuple[Sequence[Prompt], Sequence[Tokens]]


def first_token_shift(
    model: ChatModel, sets: Mapping[str, Moved], edits: Mapping[str, Edit], progress: ProgressReport
) -> dict[str, SetShift]:
    """Compare the base model with an edited one at the first response position.

    Args:
        sets: prompts and their tokens, by the name of the set.

    Returns:
        What was found, by the name of the set.

    Raises:
        torch.OutOfMemoryError: when a single row is too much.
        Aborted: from the control, between batches.
    """
    total = sum(len(tokens) for _, tokens in sets.values())
    found: dict[str, SetShift] = {}
    done = 0
    for name, (prompts, tokens) in sets.items():

        def tell(rows: int, _: int, before: int = done) -> None:
            progress(before + rows, total)

        found[name] = _shift_of_set(model, prompts, tokens, edits, tell)
        done += len(tokens)
    return found


def _shift_of_set(
    model: ChatModel,
    prompts: Sequence[Prompt],
    tokens: Sequence[Tokens],
    edits: Mapping[str, Edit],
    progress: ProgressReport,
) -> SetShift:
    records: dict[int, PromptShift] = {}
    change = torch.zeros(())

    def compare(batch: Batch) -> None:
        nonlocal change
        base = _log_probabilities(model, batch)
        with attached(model.anatomy.writers, edits):
            edited = _log_probabilities(model, batch)
        moved = kl_divergence(base, edited).clamp(min=0)
        before, after = base.exp(), edited.exp()
        change = change + (after - before).double().sum(dim=0).cpu()
        for line, row in enumerate(batch.rows):
            records[row] = PromptShift(
                prompt=prompts[row].text,
                kl_divergence=round(float(moved[line]), 6),
                gained=_told(model, before[line], after[line], 1.0),
                lost=_told(model, before[line], after[line], -1.0),
            )

    model.in_batches(tokens, compare, progress)
    mean = change / len(tokens)
    each = [records[row] for row in range(len(tokens))]
    return SetShift(
        kl_divergence=round(sum(record.kl_divergence for record in each) / len(each), 6),
        gained=_most(model, mean, 1.0),
        lost=_most(model, mean, -1.0),
        prompts=tuple(sorted(each, key=lambda record: -record.kl_divergence)),
    )


def _told(model: ChatModel, before: Tensor, after: Tensor, sign: float) -> tuple[tuple[str, float, float], ...]:
    top = ((after - before) * sign).topk(min(_TOKENS, len(before)))
    return tuple(
        (model.decode([token]), round(float(before[token]), 4), round(float(after[token]), 4))
        for token, change in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        if change >= _LEAST
    )


def _most(model: ChatModel, change: Tensor, sign: float) -> tuple[tuple[str, float], ...]:
    top = (change * sign).topk(min(_TOKENS, len(change)))
    return tuple(
        (model.decode([token]), round(sign * value, 4))
        for token, value in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        if value >= _LEAST
    )


def _log_probabilities(model: ChatModel, batch: Batch) -> Tensor:
    logits = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
    if bool((most_likely(logits) == NO_TOKEN).any()):
        raise NotFiniteError(batch.rows)
    return torch.log_softmax(logits, dim=-1)

"""Which layer matters: how much an intervention in one layer alone changes the first-token log-odds of refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.hooks import change_output
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.refusal_tokens import RefusalTokens, likelier_tokens
from heretic_tui.engine.model.chat_model import Batch, ChatModel
from heretic_tui.engine.model.partial_pass import PartialPass, replays_exactly
from heretic_tui.work import ProgressReport


@dataclass(frozen=True)
class LayerEffects:
    """Mean change of the log-odds of refusal by an intervention in one layer, (layers,) float64 each, with standard
    errors; and the log-odds without any.

    Attributes:
        edit: bad prompts; the layer's own writers edited with weight 1, so that the layer does not write its
            directions.
        stream: bad prompts; the directions projected out of the stream that the layer puts out, h - Vᵀ V h.
        add: good prompts; the leading direction added there, as long as the difference of the two means, h + |r| v.
        bad, good: mean log-odds of the unedited model.
    """

    edit: Tensor
    edit_error: Tensor
    stream: Tensor
    stream_error: Tensor
    add: Tensor
    add_error: Tensor
    bad: float
    good: float


@dataclass(frozen=True)
class Tried:
    """What is tried in every layer: the directions of one method.

    Attributes:
        directions: orthonormal in each layer, by residual index, (layers + 1, k, hidden). All of them are taken out.
        readers: vectors that they are read along, of the same shape, with reader·direction = 1.
        added: what is added, unit vectors (layers + 1, hidden).
        edits_of_layer: the edits that keep one layer from writing its directions, by the writer's name; with those that
            the model has in any case.
    """

    directions: Tensor
    readers: Tensor
    added: Tensor
    edits_of_layer: Callable[[int], Mapping[str, Edit]]


def refusal_log_odds(logits: Tensor, tokens: Sequence[int]) -> Tensor:
    """log(P / (1 - P)) with P the probability of all these tokens together, float64 (rows,); logits (rows, vocabulary).

    (The refusal metric of Arditi et al. 2024, with the model's own refusal tokens.)
    """
    rows = logits.double()
    chosen = torch.zeros(rows.shape[-1], dtype=torch.bool, device=rows.device)
    chosen[list(tokens)] = True
    inside = rows.masked_fill(~chosen, -torch.inf).logsumexp(dim=-1)
    return inside - rows.masked_fill(chosen, -torch.inf).logsumexp(dim=-1)


def find_refusal_tokens(model: ChatModel, bad: Sequence[Tokens], good: Sequence[Tokens]) -> RefusalTokens:
    """The tokens that are more likely to begin the answer to a bad prompt than to a good one, likeliest first."""
    means = []
    for tokens in (bad, good):
        total = torch.zeros(())

        def add(batch: Batch) -> None:
            nonlocal total
            logits = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
            total = total + logits.softmax(dim=-1).double().sum(dim=0).cpu()

        model.in_batches(tokens, add)
        means.append(total / len(tokens))
    return likelier_tokens(*means)


def try_layers(
    model: ChatModel,
    bad: Sequence[Tokens],
    good: Sequence[Tokens],
    refusal_tokens: Sequence[int],
    tried: Mapping[str, Tried],
    lengths: Sequence[float],
    *,
    before: Mapping[str, Edit],
    progress: ProgressReport,
) -> dict[str, LayerEffects]:
    """Try every layer by itself, with the directions of each method. The unedited model is run once for all of them;
    all else is done once for each.

    Args:
        bad, good: prompts that the model refuses, and that it answers.
        tried: by the name of the method.
        lengths: |r| by residual index: how much of a direction is added.
        before: edits that the model has in any case.

    Raises:
        torch.OutOfMemoryError: when a single row is too much.
        Aborted: from the control, between layers.
    """
    depth = model.depth
    base_bad, base_good = torch.zeros(len(bad)).double(), torch.zeros(len(good)).double()
    edit, stream, add = (
        {name: torch.zeros(depth, count).double() for name in tried} for count in (len(bad), len(bad), len(good))
    )
    total, done = depth * len(tried) * (2 * len(bad) + len(good)), 0
    writers = model.anatomy.writers
    with torch.inference_mode(), attached(writers, before):
        shortest = min(range(len(bad)), key=lambda row: len(bad[row]))
        whole = not replays_exactly(model, model.batch([shortest], bad))

    def tell(rows: int) -> None:
        nonlocal done
        # Rows that are done again after a lack of memory count twice.
        done = min(total, done + rows)
        progress(done, total)
        model.work.checkpoint()

    def odds(logits: Tensor) -> Tensor:
        return refusal_log_odds(logits, refusal_tokens).cpu()

    def on_bad(batch: Batch) -> None:
        with attached(writers, before):
            replay = PartialPass(model, batch, whole)
        base_bad[batch.rows] = odds(replay.logits)
        for layer, module in enumerate(model.anatomy.layers):
            for name, each in tried.items():
                with attached(writers, each.edits_of_layer(layer)):
                    edit[name][layer, batch.rows] = odds(replay.logits_from(layer))
                without = partial(_without, each.directions[layer + 1], each.readers[layer + 1])
                with attached(writers, before), change_output(module, without):
                    stream[name][layer, batch.rows] = odds(replay.logits_from(layer))
                tell(2 * len(batch.rows))

    def on_good(batch: Batch) -> None:
        with attached(writers, before):
            replay = PartialPass(model, batch, whole)
        base_good[batch.rows] = odds(replay.logits)
        for layer, module in enumerate(model.anatomy.layers):
            for name, each in tried.items():
                added = partial(_with, each.added[layer + 1] * lengths[layer + 1])
                with attached(writers, before), change_output(module, added):
                    add[name][layer, batch.rows] = odds(replay.logits_from(layer))
                tell(len(batch.rows))

    model.in_batches(bad, on_bad)
    model.in_batches(good, on_good)
    return {
        name: LayerEffects(
            *_mean(edit[name] - base_bad), *_mean(stream[name] - base_bad), *_mean(add[name] - base_good),
            float(base_bad.mean()), float(base_good.mean()),
        )
        for name in tried
    }  # fmt: skip


def _without(directions: Tensor, readers: Tensor, hidden: Tensor) -> Tensor:
    """h - Vᵀ U h, in float32; directions V and what they are read along U, (k, hidden)."""
    stream = hidden.float()
    for direction, reader in zip(directions.to(hidden.device), readers.to(hidden.device), strict=True):
        stream = stream - (stream @ reader)[..., None] * direction
    return stream.to(hidden.dtype)


def _with(push: Tensor, hidden: Tensor) -> Tensor:
    return hidden + push.to(hidden)


def _mean(changes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard error over the prompts, of changes (layers, prompts)."""
    count = changes.shape[1]
    error = changes.std(dim=1) / count**0.5 if count > 1 else torch.full((len(changes),), float("nan")).double()
    return changes.mean(dim=1), error

"""Prompts and edits for a tiny model, the model with an edit in its weights, and a pool that measures it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from heretic_tui.engine.anatomy.matrix_names import ATTENTION, MLP
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.engine.export.merged import edit_weights
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.fast_pool import FastPool
from heretic_tui.engine.measuring.job import Evaluation, Job, Pool
from heretic_tui.engine.measuring.open_pool import open_pool
from heretic_tui.engine.measuring.plain_pool import PlainPool
from heretic_tui.engine.measuring.run_judge import RunJudge
from heretic_tui.engine.measuring.speculation import StepCost
from heretic_tui.engine.metrics.base import metrics_named
from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.work import Work

Make = Callable[..., ChatModel]


def rows_of_tokens(count: int, seed: int, longest: int = 25) -> list[Tokens]:
    """Prompts of different lengths that begin alike."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest, (count,), generator=generator).tolist()
    return [[*range(7), *torch.randint(0, 250, (n,), generator=generator).tolist()] for n in lengths]


def edits_for(model: ChatModel, weight: float, seed: int = 3) -> dict[str, Edit]:
    """An edit of the upper half of a tiny model, so strong at its peak."""
    generator = torch.Generator().manual_seed(seed)
    directions = nn.functional.normalize(torch.randn(5, 32, generator=generator), dim=-1)
    bank = EditBank(model.anatomy.writers, directions, edit_method("norm_preserving"), 1 << 30)
    kernel = Kernel(weight, 3.0, weight / 2, 1.5)
    return bank.edits(Parameters(None, {ATTENTION: kernel, MLP: kernel}))


def job_of(model: ChatModel, edits: dict[str, Edit]) -> Job:
    return Job(None, edits, model.anatomy.first_edited(edits))


def merged(make_model: Make, kind: str, edits: dict[str, Edit]) -> Any:
    """The network that `make_model` makes, in float64, with an edit in its weights."""
    model = make_model(kind)
    edit_weights(model, edits)
    return model.network.double()


def pool_for(model: ChatModel, good: list[Tokens], plain: bool) -> Pool:
    metrics = metrics_named(["kl_divergence", "refusals"], "", 24)
    evaluation = Evaluation(good, rows_of_tokens(3, 2), 24, metrics, RunJudge(Markers(["\x00 never"])))
    if plain:
        return PlainPool(model, evaluation, Work())
    pool, _ = open_pool(model, evaluation, StepCost({}), Work())
    assert isinstance(pool, FastPool)
    return pool

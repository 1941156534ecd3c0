"""The directions of a model from two lists of prompts, without a run: for programs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from heretic_tui.engine.directions.methods.base import Given, direction_methods
from heretic_tui.engine.directions.residuals import Residuals, gather_residuals
from heretic_tui.engine.directions.unit_directions import unit_directions
from heretic_tui.engine.inputs.direction_files import direction_path
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.errors import UsageError
from heretic_tui.settings.schema import Settings


def find_directions(model: ChatModel, good: Sequence[str], bad: Sequence[str], settings: Settings) -> Tensor:
    """The directions of each residual index, float32 (layers + 1, k, hidden) on the CPU, of length one and orthogonal
    to each other; with most methods k is 1, and they lead from the good prompts towards the bad ones. Index 0 is the
    embedding output, index l + 1 the output of layer l. Prompts go through the model in batches of `model.batch_size`.

    Args:
        good, bad: prompts that the model answers, and prompts that it refuses.
        settings: of these the system prompt, the first direction method, how many directions a layer is to have, the
            file of directions, orthogonalisation and winsorisation are used.

    Raises:
        UsageError: for an empty list, when the embedding has no row for a token, or there is no such direction method
            or it cannot be used here.
        HereticError: where the residuals have no direction.
    """
    method = next(iter(direction_methods(settings).values()))
    several = "directions_per_layer" in method.uses
    if "keep_prompts" in method.uses:
        raise UsageError("find_directions reads no prompts to keep: begin a run for ridge_cleaned")
    file = direction_path(settings.direction_file) if settings.direction_file else None

    if not good or not bad:
        raise UsageError(f"find_directions has no {'bad' if good else 'good'} prompts: give it one at least")

    def residuals(texts: Sequence[str]) -> Residuals:
        tokens = model.encode([Prompt(text, settings.system_prompt) for text in texts])
        return gather_residuals(model, tokens, settings.winsorization_quantile)

    given = Given(residuals(good), residuals(bad), count=settings.directions_per_layer if several else 1, file=file)
    return unit_directions(method, given, settings.orthogonalize_direction)

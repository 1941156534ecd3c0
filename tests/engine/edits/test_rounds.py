"""Edits of several rounds as one: against a model whose matrices have the earlier ones in them."""

from __future__ import annotations

import copy

import pytest
import torch

from heretic_tui.engine.anatomy.probe import examine
from heretic_tui.engine.directions.by_method import MethodDirections
from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.engine.edits.rounds import RoundEdit, edits_of_rounds
from heretic_tui.engine.export.merged import edit_matrix
from heretic_tui.parameters import Kernel, Parameters
from tests.support import families, tiny_models
from tests.support.definitions import METHODS, bases


def logits_of(network: torch.nn.Module) -> torch.Tensor:
    tokens = torch.randint(0, 50, (3, 12), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        logits: torch.Tensor = network(input_ids=tokens).logits
        return logits


@pytest.mark.parametrize("kind", ["llama", "mixtral"])
@pytest.mark.parametrize(("first", "second"), [*((name, name) for name in METHODS), ("subtract", "norm_preserving")])
def test_an_edit_on_top_of_another_is_that_of_the_model_with_the_other_in_its_weights(
    kind: str, first: str, second: str
) -> None:
    network = tiny_models.network(kind) if kind == "llama" else families.build(kind)
    anatomy = examine(network)
    depth, width = len(anatomy.layers), network.config.hidden_size
    components = anatomy.components
    below = Parameters(None, dict.fromkeys(components, Kernel(0.8, 0.0, 0.4, float(depth))))
    # Of one component, and in the last layer alone.
    above = Parameters(None, {components[-1]: Kernel(1.2, depth - 1.0, 0.6, 0.5)})
    bases_of = [bases(depth, rank, width, seed=rank).float() for rank in (1, 2)]
    rounds = [
        RoundEdit(below, MethodDirections(bases_of[0]), edit_method(first)),
        RoundEdit(above, MethodDirections(bases_of[1]), edit_method(second)),
    ]
    together = edits_of_rounds(anatomy.writers, rounds)

    merged = copy.deepcopy(network)
    found = examine(merged)
    before = edits_of_rounds(found.writers, rounds[:1])
    with torch.no_grad():
        for writer in found.writers:
            edit_matrix(writer, before[writer.name])
    on_top = EditBank(found.writers, bases_of[1], edit_method(second), 0).edits(above)
    assert 0 < len(on_top) < len(together) == len(anatomy.writers)
    with attached(found.writers, on_top):
        expected = logits_of(merged)
    with attached(anatomy.writers, together):
        assert torch.allclose(logits_of(network), expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(logits_of(network), expected, rtol=1e-2, atol=1e-2)
    ranks = {together[writer.name].rank for writer in anatomy.writers}
    assert ranks == {1, 3}
    # What makes the edits of trials gives the same.
    again = EditBank(anatomy.writers, bases_of[1], edit_method(second), 1 << 20, None, edits_of_rounds(
        anatomy.writers, rounds[:1])).edits(above)  # fmt: skip
    assert all(torch.allclose(again[name].b, edit.b) for name, edit in together.items())

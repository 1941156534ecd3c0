"""What a run takes of memory, told before it begins, is what the engine then takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from heretic_tui.engine.anatomy.few_bits import parameters_taken
from heretic_tui.engine.anatomy.inspect import inspect_model
from heretic_tui.engine.anatomy.writers import find_anatomy
from heretic_tui.engine.checkpoint.source import load_config
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.engine.measuring.ragged_cache import RaggedCache, keys_and_values
from heretic_tui.engine.session.needs import needs_of
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.plan import Needs
from heretic_tui.settings.sources import load_settings
from tests.support import tiny_models


def needs(folder: Path, **given: object) -> Needs:
    settings = load_settings({"model": str(folder), **given}, environment=False)
    return needs_of(inspect_model(settings), load_config(settings), settings)


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_weights_edits_and_cache_are_those_of_the_model(tmp_path: Path, kind: str) -> None:
    folder = tiny_models.save(tmp_path / kind, kind)
    network, found = tiny_models.network(kind), needs(folder)
    size = sum(parameter.numel() for parameter in network.parameters())
    assert needs(folder, dtypes=["float32"]).weights == 4 * size
    assert needs(folder, dtypes=["bfloat16"]).weights == 2 * size
    assert found.weights == pytest.approx(4 * size, rel=0.2), "as stored, with the header"
    assert found.by_bits[16] == 2 * size
    assert found.by_bits[4] < found.by_bits[8] < 2 * size
    in_16 = needs(folder, quantization="bnb_4bit", dtypes=["bfloat16"])
    assert in_16.weights == in_16.by_bits[4]
    # Embeddings, norms and what makes logits are not quantised.
    kept = sum(parameter.numel() for parameter in network.parameters()) - parameters_taken(network)
    assert found.by_bits[8] - 2 * kept == pytest.approx(parameters_taken(network), rel=0.01)
    anatomy = find_anatomy(network)
    directions = nn.functional.normalize(torch.randn(5, 32), dim=-1)
    bank = EditBank(anatomy.writers, directions, edit_method("norm_preserving"), found.edits)
    for index in (0.0, 1.0, 2.0, 3.0):
        bank.edits(Parameters(index, dict.fromkeys(anatomy.components, Kernel(1.0, 2.0, 1.0, 9.0))))
    bank.edits(Parameters(None, dict.fromkeys(anatomy.components, Kernel(1.0, 2.0, 1.0, 9.0))))
    # The direction of the embedding, of the five, is one that no trial asks for.
    assert found.edits * 4 // 5 <= bank.kept <= found.edits
    several = needs(folder, direction_method=["clusters", "principal_components"], directions_per_layer=3)
    assert several.edits == 6 * found.edits
    one = needs(folder, direction_method=["clusters", "mean_difference"], directions_per_layer=3)
    assert one.edits == 4 * found.edits, "not every method gives several"
    oblique = needs(folder, direction_method=["leace"])
    bank = EditBank(anatomy.writers, directions, edit_method("norm_preserving"), oblique.edits, directions)
    for index in range(len(directions) - 1):
        bank.edits(Parameters(index, dict.fromkeys(anatomy.components, Kernel(1.0, 2.0, 1.0, 9.0))))
    bank.edits(Parameters(None, dict.fromkeys(anatomy.components, Kernel(1.0, 2.0, 1.0, 9.0))))
    assert found.edits < oblique.edits, "what is read is kept too"
    assert oblique.edits * 4 // 5 <= bank.kept <= oblique.edits
    cache = RaggedCache(3, 7, 4)
    cache.begin(torch.arange(7)[None].expand(3, 7), 7)
    network(torch.zeros(3, 7, dtype=torch.long), past_key_values=cache)
    pairs = [keys_and_values(cache, layer) for layer in range(4)]
    taken = sum(keys.nbytes + values.nbytes for keys, values in pairs)
    assert needs(folder, dtypes=["float32"]).token == taken // (3 * 7)

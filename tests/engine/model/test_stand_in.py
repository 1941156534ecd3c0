"""A stand-in has the model's network, and of layers of one kind shares the weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from heretic_tui.engine.anatomy.writers import find_layers
from heretic_tui.engine.checkpoint.misfit import build_empty
from heretic_tui.engine.checkpoint.source import load_config
from heretic_tui.engine.model.stand_in import fill, shared_layers
from heretic_tui.errors import HereticError
from heretic_tui.settings.sources import load_settings
from tests.support import tiny_models

CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_it_computes_like_the_model_with_a_fraction_of_its_weights(tmp_path: Path, kind: str) -> None:
    config = load_config(load_settings({"model": str(tiny_models.save(tmp_path, kind))}, environment=False))
    network = build_empty(config, False)
    whole = shared_layers(network, torch.float32)
    shared = shared_layers(network, torch.float32, own=0)
    assert whole.sources == tuple(range(len(whole.sources)))
    assert whole.bytes == 4 * sum(parameter.numel() for parameter in network.parameters())
    assert shared.layers < whole.layers
    assert shared.bytes < whole.bytes
    fill(network, shared, torch.float32, CPU, shared.bytes)
    _, layers = find_layers(network)
    first, last = (dict(layers[at].named_parameters()) for at in (shared.sources[-1], -1))
    assert all(last[name] is parameter for name, parameter in first.items())
    assert 4 * sum(parameter.numel() for parameter in network.parameters()) == shared.bytes
    out = network(input_ids=torch.arange(7)[None], use_cache=True)
    assert torch.isfinite(out.logits).all()
    assert out.past_key_values.get_seq_length() == 7, "every layer keeps keys and values of its own"
    real = tiny_models.network(kind)
    same = {name: buffer for name, buffer in real.named_buffers() if buffer.is_floating_point()}
    found = dict(network.named_buffers())
    assert all(torch.allclose(found[name], buffer) for name, buffer in same.items()), "frequencies of positions"


def test_more_memory_than_there_is(tmp_path: Path) -> None:
    config = load_config(load_settings({"model": str(tiny_models.save(tmp_path))}, environment=False))
    network = build_empty(config, False)
    shared = shared_layers(network, torch.bfloat16)
    with pytest.raises(HereticError, match=r"a stand-in for the model takes .* of memory, and 0 kB may be used"):
        fill(network, shared, torch.bfloat16, CPU, 0)

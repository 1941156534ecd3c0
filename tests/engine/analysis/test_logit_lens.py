"""Directions through the final norm and the unembedding."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from heretic_tui.engine.analysis.logit_lens import Lens, final_norm
from heretic_tui.engine.model.chat_model import ChatModel

Make = Callable[..., ChatModel]


@pytest.mark.parametrize(("kind", "name"), [("llama", "norm"), ("gpt2", "ln_f"), ("gpt_neox", "final_layer_norm")])
def test_the_final_norm_is_found_by_running_the_model(make_model: Make, kind: str, name: str) -> None:
    model = make_model(kind)
    named = {module: path for path, module in model.network.named_modules()}
    norm = final_norm(model)
    assert norm is not None
    assert named[norm].rpartition(".")[2] == name


def test_scores_are_the_gain_of_a_stream_that_is_the_direction(make_model: Make) -> None:
    model = make_model()
    v = torch.nn.functional.normalize(torch.randn(32, generator=torch.Generator().manual_seed(1)), dim=0)
    scores = Lens(model).scores(v[None])[0]
    network = model.network
    with torch.inference_mode():
        logits = network.lm_head(network.model.norm(v[None] * 32**0.5))[0]
    torch.testing.assert_close(scores, logits - logits.mean(), rtol=1e-4, atol=1e-4)

"""The log-odds of refusal, and a forward pass that begins at a layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from heretic_tui.engine.analysis.layer_effects import refusal_log_odds
from heretic_tui.engine.hooks import change_output
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.partial_pass import PartialPass, replays_exactly
from tests.support import tiny_models

Make = Callable[..., ChatModel]


def test_log_odds_of_refusal_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.3, 0.4]]))
    assert float(refusal_log_odds(logits, [1, 2])[0]) == pytest.approx(np.log(0.5 / 0.5), abs=1e-6)
    assert float(refusal_log_odds(logits, [3])[0]) == pytest.approx(np.log(0.4 / 0.6), abs=1e-6)


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_a_pass_from_the_middle_is_the_whole_pass(make_model: Make, kind: str) -> None:
    model = make_model(kind)
    rows = [[5, 9, 200, 7], [30, 31, 32], [8, 1, 90, 14, 77]]
    batch = model.batch([0, 1, 2], rows)
    with torch.inference_mode():
        assert replays_exactly(model, batch)
        replay = PartialPass(model, batch)
        for layer, module in enumerate(model.anatomy.layers):
            with change_output(module, lambda hidden: hidden * 0.5):
                expected = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
                found = replay.logits_from(layer)
            torch.testing.assert_close(found, expected)
        again = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
    torch.testing.assert_close(again, replay.logits, msg="nothing of it stays behind")

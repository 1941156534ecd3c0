"""How probable a text is, from one plain pass of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def log_likelihood(network: Any, tokens: Sequence[int], scored: int) -> tuple[float, bool]:
    """Of the last `scored` tokens, alone and without padding, in float64; and whether each is the most likely one."""
    with torch.inference_mode():
        logits = network(input_ids=torch.tensor([list(tokens[:-1])])).logits[0, -scored:].double()
    targets = torch.tensor(tokens[-scored:])
    each = torch.log_softmax(logits, dim=-1).gather(-1, targets[:, None])[:, 0]
    return float(each.sum()), bool((logits.argmax(dim=-1) == targets).all())

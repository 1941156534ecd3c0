"""How long a text a model was made for, and whether a longer one is an error or only beyond what it learnt."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from transformers import PretrainedConfig

from heretic_tui.errors import UsageError

_LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len", "context_length")
# Parts of the names of tables of positions, and of parts of a model whose positions are not those of text.
_TABLES = ("pos", "wpe")
_ELSEWHERE = ("vision", "visual", "image", "audio", "speech")
# Model types that compute their positions for so many tokens and no more.
_NO_FURTHER = ("mpt",)


def check_positions(
    config: PretrainedConfig, network: Callable[[], nn.Module], what: str, tokens: int, response: int
) -> str | None:
    """
    Args:
        network: the model, on the meta device or loaded; asked for only where a text is too long.
        what: the longest prompt, for messages.
        tokens: its length.
        response: the most tokens that follow it.

    Returns:
        A warning where prompt and response are longer than what the model was made for, else None.

    Raises:
        UsageError: where the model has no positions for them.
    """
    limit = longest_text(config)
    if limit is None or tokens + response <= limit:
        return None
    sizes = f"{what} has {tokens:,} tokens, {tokens + response:,} with a response of {response:,}"
    if stored_positions(config, network()):
        raise UsageError(
            f"{sizes}, and the model has {limit:,} positions: shorten the prompts, the system prompt or "
            "--max-response-length"
        )
    return f"{sizes}, and the model was made for {limit:,}: beyond them it may answer anything"


def stored_positions(config: PretrainedConfig, network: nn.Module) -> int | None:
    """How many positions a model has where they are rows of a table, learnt or computed once: a longer text is an
    error. None where they are computed as they come."""
    limit = longest_text(config)
    if limit is None or config.model_type in _NO_FURTHER:
        return limit
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        text = not any(part in name for part in _ELSEWHERE)
        # Some tables begin with a row or two that belong to no position.
        if text and any(part in name for part in _TABLES) and tensor.ndim == 2 and 0 <= len(tensor) - limit <= 2:
            return limit
    return None


def longest_text(config: PretrainedConfig) -> int | None:
    """Tokens of the longest text that a model was made for; None where its configuration does not say."""
    text = config.get_text_config(decoder=True)
    found = [getattr(text, name, None) for name in _LIMITS]
    return next((limit for limit in found if isinstance(limit, int) and limit > 0), None)

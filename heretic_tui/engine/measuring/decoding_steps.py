"""Steps of decoding: what each line of a batch takes through the model at once, guesses at its next tokens included."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from heretic_tui.engine.finite import most_likely
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.extra_lines import ExtraLine
from heretic_tui.engine.measuring.line_batch import Line, LineBatch, Step
from heretic_tui.engine.measuring.speculation import Speculation
from heretic_tui.engine.model.chat_model import ChatModel


class DecodingSteps:
    """
    Args:
        longest: tokens of a response at most.

    Attributes:
        count, tokens: how many steps were begun, and the tokens that they took through the model.
    """

    def __init__(self, model: ChatModel, longest: int, speculation: Speculation) -> None:
        self._model = model
        self._longest = longest
        self._speculation = speculation
        self.count = 0
        self.tokens = 0

    def begin(self, batch: LineBatch) -> Step:
        """Begin to take the last token of every line through the model, and guesses at the next ones where that saves
        time."""
        lines, extra, speculation = list(batch.lines), list(batch.extra), self._speculation
        block = speculation.block([(line.row, line.response) for line in lines])
        last = self._longest - 1
        guesses = [
            speculation.guess(line.row, line.response, min(block - 1, last - len(line.response))) for line in lines
        ]
        tokens = [line.tokens[-1:] for line in extra]
        tokens += [[line.response[-1], *guess] for line, guess in zip(lines, guesses, strict=True)]
        with self._model.in_turn.begun() as under_way:
            # A line that has fewer guesses repeats its last token: what comes of that is not looked at.
            logits = self.forward(batch, [*extra, *lines], [row + row[-1:] * (block - len(row)) for row in tokens])
            return Step(extra, lines, guesses, logits, most_likely(logits), under_way)

    def forward(self, batch: LineBatch, lines: Sequence[Line | ExtraLine], tokens: list[Tokens]) -> Tensor:
        """Raw logits (lines, tokens, vocabulary) of the next tokens of the first lines of a batch, which are these."""
        model, block = self._model, len(tokens[0])
        ids = torch.tensor(tokens, device=model.device)
        cached = torch.tensor([line.cached for line in lines])
        positions = cached[:, None] + torch.arange(block)
        if block > 1:
            # A model may have no positions beyond the longest response. What lies there is never looked at.
            ends = [line.cached + self._most_left(line) for line in lines]
            positions = positions.minimum(torch.tensor(ends)[:, None])
        width = int(positions.max()) + 1
        positions = positions.to(model.device)
        batch.slots.begin(positions, width)
        # Columns are positions, so this is causality and the end of the shorter lines at once.
        visible = torch.arange(width, device=model.device) <= positions[:, None, :, None]
        self.tokens += ids.numel()
        self.count += 1
        return model.logits(ids, model.as_attention_mask(visible), positions, batch.slots)

    def _most_left(self, line: Line | ExtraLine) -> int:
        """Tokens behind the next one that a line can have yet, at most."""
        return 0 if isinstance(line, ExtraLine) else self._longest - len(line.response)

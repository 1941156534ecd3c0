"""The base model reads prompts: each once, without padding, and what they all begin with once for all of them. What is
left at the last token of each is kept: its residuals, and the token that comes next."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from heretic_tui.control import Aborted
from heretic_tui.engine.directions.residuals import Residuals, check_finite, last_residuals, winsorize
from heretic_tui.engine.finite import NO_TOKEN, NotFiniteError, most_likely
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.prefill import Prefill, PrefillPass, PrefixStates
from heretic_tui.engine.measuring.ragged_cache import narrowest_window, plain_layers
from heretic_tui.engine.memory import halving, is_out_of_memory
from heretic_tui.engine.model.chat_model import Batch, ChatModel
from heretic_tui.run.record import Reading
from heretic_tui.work import ProgressReport

log = logging.getLogger(__name__)

# How far residuals may lie apart by rounding alone, relatively, in float32 and in 16 bits.
_ROUNDING, _ROUNDING_16 = 1e-4, 5e-2
# The first prompts of each set are read by themselves, whoever asks for them: in which batch a prompt is read decides
# the last digits of its residuals, and what is built again from a record is to be the same.
FIRST_READ = 100

# Called with rows that were read, their residuals and the most likely tokens that follow.
_Take = Callable[[Sequence[int], Tensor, Tensor], None]


class Reader:
    """What a base model makes of the prompts of some sets. Where it does not bear to be read without padding, it reads
    them in padded batches of like length.

    Args:
        sets: tokens of the prompts, by the name of their set.
        quantile: see `winsorize`.
        packed: false: they are read in padded batches in any case, as older versions did.
    """

    def __init__(
        self, model: ChatModel, sets: Mapping[str, Sequence[Tokens]], quantile: float, packed: bool = True
    ) -> None:
        self.sets = sets
        self._model = model
        self._quantile = quantile
        self._residuals = {
            name: torch.empty(len(rows), model.depth + 1, model.hidden_size) for name, rows in sets.items()
        }
        self._following = {name: [NO_TOKEN] * len(rows) for name, rows in sets.items()}
        self._unread = {name: set(range(len(rows))) for name, rows in sets.items()}
        self._prefill = prefill_that_fits(model, sets) if packed else None
        self._prefix: PrefixStates | None = None

    @property
    def way(self) -> Reading:
        """How they are read."""
        return "packed" if self._prefill else "padded"

    def residuals(self, name: str, progress: ProgressReport | None = None) -> Residuals:
        """Those of all prompts of a set; what has not been read is read now. Raises as `following` does."""
        self._read(name, range(len(self.sets[name])), progress)
        each = self._residuals[name]
        return Residuals(each.mean(dim=0, dtype=torch.float64), each)

    def following(self, name: str, rows: Sequence[int], progress: ProgressReport | None = None) -> list[int]:
        """The most likely next token of some prompts of a set; those that have not been read are read now.

        Raises:
            NotFiniteError: where residuals or logits are not finite.
            torch.OutOfMemoryError: when a single row is too much.
            Aborted: from the control, between batches.
        """
        self._read(name, rows, progress)
        return [self._following[name][row] for row in rows]

    def _read(self, name: str, rows: Sequence[int], progress: ProgressReport | None) -> None:
        wanted = sorted(self._unread[name].intersection(rows))
        done = 0

        def take(read: Sequence[int], residuals: Tensor, following: Tensor) -> None:
            nonlocal done
            check_finite(residuals, following, read)
            self._residuals[name][list(read)] = winsorize(residuals, self._quantile)
            for row, token in zip(read, following.tolist(), strict=True):
                self._following[name][row] = token
            done += len(read)
            if progress:
                progress(done, len(wanted))

        if self._prefill:
            for part in (range(FIRST_READ), range(FIRST_READ, len(self.sets[name]))):
                self._read_packed(self._prefill, name, [row for row in wanted if row in part], take)
        else:
            self._read_padded(name, wanted, take)
        # Padded batches are those of a whole set.
        if self._prefill or len(wanted) == len(self.sets[name]):
            self._unread[name].difference_update(wanted)

    def _read_packed(self, prefill: Prefill, name: str, wanted: Sequence[int], take: _Take) -> None:
        model = self._model

        def begin(chunk: Sequence[int], count: int) -> PrefillPass:
            model.work.checkpoint()
            if self._prefix is None:
                with torch.inference_mode():
                    self._prefix = prefill.prefix_states(model.depth)
            return prefill.begin(name, chunk[:count], self._prefix, residuals=True)

        for filled in prefill.passes(name, wanted, begin, model.shrink):
            assert filled.residuals is not None
            take(filled.rows, filled.residuals, most_likely(filled.logits))

    def _read_padded(self, name: str, wanted: Sequence[int], take: _Take) -> None:
        model, rows = self._model, self.sets[name]

        def each(batch: Batch) -> None:
            try:
                found = last_residuals(model, batch)
            except NotFiniteError as error:
                raise error.among(wanted) from None
            take([wanted[row] for row in batch.rows], *found)

        model.in_batches([rows[row] for row in wanted], each)


def prefill_that_fits(model: ChatModel, sets: Mapping[str, Sequence[Tokens]]) -> Prefill | None:
    """What reads prompts without padding and their common beginning once; None where a look at a few prompts shows that
    it gives something else than the model's own way, or it cannot be tried.

    Raises:
        torch.OutOfMemoryError: when a single row is too much.
        Aborted: from the control.
    """
    own = model.new_cache()
    if not isinstance(own, Cache) or plain_layers(own):
        return None
    window, longest = narrowest_window(own), max(len(row) for rows in sets.values() for row in rows)
    if window is not None and window < longest:
        return None
    prefill = Prefill(model, sets, frozenset(), keeping=False)
    # Passes of the check may have made the batch size smaller than the one that it began with.
    fits = halving(
        model.batch_size,
        lambda size: _reads_alike(model, prefill, sets),
        lambda size: model.shrink(model.batch_size),
    )
    return prefill if fits else None


def _reads_alike(model: ChatModel, prefill: Prefill, sets: Mapping[str, Sequence[Tokens]]) -> bool:
    """Whether a few prompts, the shortest and the longest among them, have the residuals that the model's own way
    gives."""
    name, rows = max(sets.items(), key=lambda each: len(each[1]))
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    few = sorted({order[0], order[len(order) // 2], order[-1]})[: model.batch_size]
    try:
        with torch.inference_mode():
            expected, _ = last_residuals(model, model.batch(few, rows))
            found = prefill.run(name, few, prefill.prefix_states(model.depth), residuals=True).residuals
    except Aborted:
        raise
    except NotFiniteError:
        # Whoever reads the prompts finds that too, and knows which they are.
        return False
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # Whatever an architecture's own code raises over a cache or a mask that it does not know.
        log.info("prompts are read in padded batches", exc_info=True)
        return False
    assert found is not None
    limit = _ROUNDING if model.dtype == torch.float32 else _ROUNDING_16
    apart = float(((found - expected).norm(dim=-1) / expected.norm(dim=-1).clamp(min=1e-12)).max())
    if not apart <= limit:
        log.info("prompts are read in padded batches: without padding residuals are %.2g off", apart)
    return apart <= limit

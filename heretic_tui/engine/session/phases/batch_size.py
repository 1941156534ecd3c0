"""The batch size, by measured throughput: doubled until throughput grows no more or memory runs out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from heretic_tui.engine.directions.residuals import last_residuals
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.speculation import StepCost
from heretic_tui.engine.memory import halving, is_out_of_memory, release_blocks
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import Decoding
from heretic_tui.engine.session.phases.phase import RunInputs, phase
from heretic_tui.events import BatchSizeChosen
from heretic_tui.work import Work

_DECODE_STEPS = 4
_CONTEXT = 16
# A larger batch has to bring at least this much more; timing noise alone is a few per cent.
_WORTHWHILE = 1.05
# A batch that fills more than this share of a GPU's memory leaves no room for fragmentation.
_HEADROOM = 0.9


def set_batch_size(run: RunInputs, model: ChatModel, work: Work) -> None:
    """Give the model the batch size that was set, or found earlier in this run, or that is found now. (Without prompts
    nothing will be measured: it keeps its own.)

    Raises:
        HereticError: when not even one prompt fits in memory.
        Aborted: from the control, between sizes.
    """
    if given := run.settings.batch_size or run.record.batch_size:
        model.batch_size = given
        work.tell(BatchSizeChosen(batch_size=given, tokens_per_second=None))
    elif run.sets:
        with phase("batch size", work):
            tokens = model.encode([prompt for prompts in run.sets.values() for prompt in prompts])
            largest, length = run.settings.max_batch_size, run.settings.max_response_length
            size, seconds = choose_batch_size(model, tokens, largest, length, work)
            model.batch_size = size
            rate = round(size / StepCost(seconds)(size), 1)
            work.tell(BatchSizeChosen(batch_size=size, tokens_per_second=rate))
            if run.own:
                found = {str(rows): each for rows, each in seconds.items()}
                run.folder.save_record(replace(run.record, batch_size=size, step_seconds=found))


def choose_batch_size(
    model: ChatModel,
    tokens: Sequence[Tokens],
    largest: int,
    response_length: int,
    work: Work,
) -> tuple[int, dict[int, float]]:
    """Rows per batch, and the seconds of a decoding step for each number of rows that was tried.

    Throughput is measured where nearly all time goes, in steps of decoding. On a GPU the size that wins is then tried
    on the longest prompts through the stage that needs most memory, and halved until it fits. (A CPU gives no error
    to learn from: it swaps, or the process is killed.)

    Raises:
        torch.OutOfMemoryError: when not even one row fits.
        Aborted: from the control, between sizes.
    """
    by_length = sorted(tokens, key=len, reverse=True)
    sizes = [1 << power for power in range(largest.bit_length()) if 1 << power < largest] + [largest]
    best, best_rate, lean = 0, 0.0, 0
    progress = work.progress("batch size")
    seconds: dict[int, float] = {}
    _decoding_rate(model, by_length[0], 1)  # the first pass also loads kernels and fills caches
    for step, size in enumerate(sizes):
        work.checkpoint()
        try:
            rate = _decoding_rate(model, by_length[0], size)
        except RuntimeError as error:
            if not is_out_of_memory(error) or size == 1:
                raise
            work.note(f"{size} prompts at once do not fit in memory")
            break
        seconds[size] = size / rate
        progress(sum(sizes[: step + 1]), sum(sizes))
        lean = 0 if rate > best_rate * _WORTHWHILE else lean + 1
        if lean == 0:
            best, best_rate = size, rate
        if lean == 2:
            break
    if model.device.type == "cuda":

        def halve(size: int) -> int:
            work.note(f"{size} of the longest prompts with their responses do not fit in memory")
            return size // 2

        best = halving(best, partial(_try_longest, model, by_length, response_length), halve)
        # The next decision depends on the memory that is free.
        release_blocks()
    return best, seconds


def _decoding_rate(model: ChatModel, prompt: Tokens, size: int) -> float:
    """Tokens per second of a decoding step with `size` rows behind the beginning of a prompt: the fastest of a few,
    since what else a machine does can only make a step slower."""
    decoding = Decoding(model, model.batch(list(range(size)), [prompt[:_CONTEXT]] * size))
    times = []
    with torch.inference_mode():
        for _ in range(_DECODE_STEPS + 1):
            start = time.perf_counter()
            tokens = decoding.next_logits().argmax(dim=-1)
            _wait(model)
            times.append(time.perf_counter() - start)
            decoding.take(tokens)
    # The first step reads the prompt.
    return size / min(times[1:])


def _try_longest(model: ChatModel, by_length: Sequence[Tokens], response_length: int, size: int) -> int:
    """Take residuals of all layers, logits over the whole vocabulary and the caches of full responses of so many rows
    on the GPU. Returns the number of rows.

    Raises:
        torch.OutOfMemoryError: when they do not fit, or leave no room to spare and are more than one.
    """
    rows = [by_length[i % len(by_length)] for i in range(size)]
    rows = [row + row[-1:] * response_length for row in rows]
    torch.cuda.reset_peak_memory_stats(model.device)
    batch = model.batch(list(range(size)), rows)
    with torch.inference_mode():
        last_residuals(model, batch)
        model.next_token_logits(batch.ids, batch.mask, batch.positions, model.new_cache())
    used = torch.cuda.max_memory_allocated(model.device)
    if size > 1 and used > _HEADROOM * torch.cuda.mem_get_info(model.device)[1]:
        raise torch.OutOfMemoryError(f"{size} rows leave too little of the memory free")
    return size


def _wait(model: ChatModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)

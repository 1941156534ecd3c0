"""The batch size, by measured throughput: doubled until throughput grows no more or memory runs out. What was found
for a model on this machine is only checked the next time."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from heretic_tui.engine.checkpoint.source import fingerprint
from heretic_tui.engine.directions.residuals import last_residuals
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.speculation import StepCost
from heretic_tui.engine.memory import halving, is_out_of_memory, release_blocks
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import Decoding
from heretic_tui.engine.session.phases.phase import RunInputs, phase
from heretic_tui.events import BatchSizeChosen
from heretic_tui.run.batch_sizes import FoundBatchSize, recall_batch_size, remember_batch_size
from heretic_tui.work import Work

# Steps that are measured, and seconds after which two of them do.
_DECODE_STEPS, _ENOUGH_SECONDS = 4, 0.4
# Tokens before them: reading these takes as long as so many steps. Where a model has no cache each step reads them.
_CONTEXT, _CONTEXT_WITHOUT_CACHE = 2, 16
# A larger batch has to bring at least this much more; timing noise alone is a few per cent.
_WORTHWHILE = 1.05
# A batch that fills more than this share of a GPU's memory leaves no room for fragmentation.
_HEADROOM = 0.9
# A remembered size is found anew where a step takes so many times as long as then, or so many times less.
_FAR_OFF = 2.0


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
            about = _about(run, model)
            known = recall_batch_size(about)
            rate = check_batch_size(model, tokens, length, known) if known else None
            if known is None or rate is None:
                size, seconds = choose_batch_size(model, tokens, largest, length, work)
                rate = size / StepCost(seconds)(size)
                found = FoundBatchSize(size, {str(rows): each for rows, each in seconds.items()})
                remember_batch_size(about, found)
            else:
                found = known
            model.batch_size = found.batch_size
            work.tell(
                BatchSizeChosen(
                    batch_size=found.batch_size, tokens_per_second=round(rate, 1), remembered=found is known
                )
            )
            if run.own:
                record = replace(run.record, batch_size=found.batch_size, step_seconds=found.step_seconds)
                run.folder.save_record(record)


def _about(run: RunInputs, model: ChatModel) -> dict[str, object]:
    """What a batch size depends on: what it was found with, on which machine."""
    identity, device = run.record.identity, model.device
    cuda = device.type == "cuda"
    return {
        "model": identity["model"] if identity else fingerprint(run.settings),
        "dtype": str(model.dtype),
        "quantization": run.settings.quantization,
        "machine": platform.node(),
        "device": torch.cuda.get_device_name(device) if cuda else f"{device} {platform.machine()}",
        "devices": torch.cuda.device_count() if cuda else torch.get_num_threads(),
        "largest": run.settings.max_batch_size,
    }


def check_batch_size(
    model: ChatModel, tokens: Sequence[Tokens], response_length: int, known: FoundBatchSize
) -> float | None:
    """Whether a size that was found before still fits, and a step takes about as long as then: tokens per second, by
    one short measurement; None where not.

    Raises:
        RuntimeError: from the forward pass.
    """
    by_length = sorted(tokens, key=len, reverse=True)
    size = known.batch_size
    try:
        rate = _decoding_rate(model, by_length[0], size, steps=2)
        if model.device.type == "cuda":
            _try_longest(model, by_length, response_length, size)
            release_blocks()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None
    apart = rate * StepCost(known.seconds)(size) / size
    return rate if 1 / _FAR_OFF < apart < _FAR_OFF else None


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


def _decoding_rate(model: ChatModel, prompt: Tokens, size: int, steps: int = _DECODE_STEPS) -> float:
    """Tokens per second of a decoding step with `size` rows behind the beginning of a prompt: the fastest of a few,
    since what else a machine does can only make a step slower."""
    beginning = prompt[: _CONTEXT if model.cache_works else _CONTEXT_WITHOUT_CACHE]
    decoding = Decoding(model, model.batch(list(range(size)), [beginning] * size))
    times: list[float] = []
    with torch.inference_mode():
        while len(times) <= steps and (len(times) < 3 or sum(times[1:]) < _ENOUGH_SECONDS):
            start = time.perf_counter()
            tokens = decoding.next_logits().argmax(dim=-1)
            _wait(model)
            times.append(time.perf_counter() - start)
            decoding.take(tokens)
    # The first step reads the prompt.
    return size / min(times[1:])


def _try_longest(model: ChatModel, by_length: Sequence[Tokens], response_length: int, size: int) -> int:
    """Take residuals of all layers, logits over the whole vocabulary and the caches of full responses of so many rows
    on the GPU; where several batches are under way at once, those of all of them. Returns the number of rows.

    Raises:
        torch.OutOfMemoryError: when they do not fit, or leave no room to spare and are more than one.
    """
    rows = [by_length[i % len(by_length)] for i in range(size)]
    rows = [row + row[-1:] * response_length for row in rows]
    devices = {weight.device for weight in model.network.parameters() if weight.device.type == "cuda"}
    release_blocks()
    for device in devices:
        torch.cuda.reset_peak_memory_stats(device)
    batch = model.batch(list(range(size)), rows)
    caches, under_way = [], []
    try:
        for _ in range(model.in_turn.window):
            # What a pass works with cannot be had for another one, since they are under way together.
            with torch.inference_mode(), model.in_turn.begun() as begun:
                under_way.append(begun)
                last_residuals(model, batch)
                caches.append(model.new_cache())
                model.next_token_logits(batch.ids, batch.mask, batch.positions, caches[-1])
    finally:
        for each in under_way:
            each.wait()
    for device in devices:
        # Not what is in use alone: queues of their own keep memory of their own.
        kept = torch.cuda.max_memory_allocated if model.in_turn.window == 1 else torch.cuda.max_memory_reserved
        if size > 1 and kept(device) > _HEADROOM * torch.cuda.mem_get_info(device)[1]:
            raise torch.OutOfMemoryError(f"{size} rows leave too little of the memory free")
    return size


def _wait(model: ChatModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)

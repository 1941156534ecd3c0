"""How fast this machine computes with a model, in some twenty seconds and without its weights: a stand-in reads prompts
and decodes rows. Plans are made of it where no earlier run tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from transformers import PretrainedConfig

from heretic_tui.engine.anatomy.writers import embedding_matrix, find_anatomy
from heretic_tui.engine.checkpoint.misfit import build_empty
from heretic_tui.engine.checkpoint.source import load_config, load_tokenizer
from heretic_tui.engine.checkpoint.stored import weight_files
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.memory import free_memory, is_out_of_memory, memory_share
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import Decoding
from heretic_tui.engine.model.stand_in import fill, shared_layers
from heretic_tui.engine.threads import watch_threads
from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.run.plan import Load
from heretic_tui.run.speeds import Speed
from heretic_tui.settings.model_names import folder_of
from heretic_tui.settings.schema import Settings
from heretic_tui.work import Work

# Seconds after which nothing further is measured: a single pass is begun where it is expected to end within them.
PATIENCE = 20.0
# Share of the memory that is free which the weights of the stand-in may take; as much again is for its cache.
_SHARE = 0.4
# Bytes that are read of the weight files.
_READ = 1 << 28
# Each pass is measured so often, as long as this takes less than so many seconds.
_TIMES, _ENOUGH = 3, 0.5
# More rows at once have to be faster by so much; twice in a row they were not, and no more are tried.
_WORTHWHILE = 1.05


def probe_speed(settings: Settings, load: Load, row: int, work: Work) -> Speed:
    """Measure it.

    Args:
        load: the prompts' lengths, and the largest batch.
        row: bytes that a row of it takes of the cache; 0 where they are not known.

    Raises:
        UsageError: no such model, or one that cannot be built.
        HereticError: where the stand-in does not fit in memory, or the network does not run on text alone.
        Aborted: from the control, between passes.
    """
    start, progress = time.monotonic(), work.progress("probe")
    progress(0, 100)

    def goes_on(expected: float) -> bool:
        """Whether there is time for something that takes so long."""
        work.checkpoint()
        taken = time.monotonic() - start
        progress(min(99, round(100 * taken / PATIENCE)), 100)
        return taken + expected < PATIENCE

    config = load_config(settings)
    device = torch.device(torch.accelerator.current_accelerator() or "cpu")
    if device.type == "cpu":
        watch_threads(None, work)
    try:
        model, own = _stand_in(settings, config, device, work)
        reading, step_seconds = _measured(model, load, _most_rows(load, row, device), goes_on)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise HereticError("the probe does not fit in memory") from error
        raise HereticError(f"the network of {settings.model} cannot be probed: {one_line(error)}") from error
    except (AttributeError, TypeError, ValueError, KeyError, IndexError, NotImplementedError) as error:
        # Of code that needs more than text, or that fills itself in only from weight files.
        raise HereticError(f"the network of {settings.model} cannot be probed: {one_line(error)}") from error
    found = Speed(
        reading=round(reading, 1),
        step_seconds={str(rows): round(each, 6) for rows, each in step_seconds.items()},
        loading=_loading(settings),
        layers=model.depth,
        own=own,
        seconds=round(time.monotonic() - start, 1),
        device=str(device),
        dtype=str(model.dtype).removeprefix("torch."),
    )
    del model
    free_memory()
    progress(100, 100)
    return found


def _stand_in(settings: Settings, config: PretrainedConfig, device: torch.device, work: Work) -> tuple[ChatModel, int]:
    """The stand-in, and how many of its layers have weights of their own."""
    dtype = _dtype(settings, config)
    network = build_empty(config, settings.trust_remote_code)
    anatomy, shared = find_anatomy(network), shared_layers(network, dtype)
    fill(network, shared, dtype, device, memory_share(device, _SHARE))
    # What its random weights lead to is no news of the model.
    model = ChatModel(network, load_tokenizer(settings), work.part(), anatomy=anatomy)
    if device.type == "cpu":
        model.threads = watch_threads(network, work)
    return model, shared.layers


def _dtype(settings: Settings, config: PretrainedConfig) -> torch.dtype:
    """That which loading tries first."""
    named = getattr(torch, settings.dtypes[0], None)
    if isinstance(named, torch.dtype):
        return named
    return config.dtype if isinstance(config.dtype, torch.dtype) else torch.float32


def _most_rows(load: Load, row: int, device: torch.device) -> int:
    """The largest batch whose cache leaves the rest of the memory free."""
    return max(1, min(load.rows, memory_share(device, _SHARE) // row)) if row else load.rows


def _measured(
    model: ChatModel, load: Load, most: int, goes_on: Callable[[float], bool]
) -> tuple[float, dict[int, float]]:
    """Tokens a second that are read, and seconds of a decoding step by the number of rows.

    Args:
        most: rows of the largest batch.
        goes_on: whether there is time for something that takes so many seconds.
    """
    length = max(2, load.usual)
    prompt = _tokens(model, length)
    with torch.inference_mode():
        # The first pass also loads kernels, and tells what further ones take.
        _seconds(model, lambda: _read(model, prompt[:2], 1))
        rate, taken, rows, lean = 0.0, 0.0, 1, 0
        # Half of the time is for decoding.
        while rows <= most and lean < 2 and (not rate or goes_on(PATIENCE / 2 + 2 * taken)):
            taken = _best(model, partial(_read, model, prompt, rows))
            found = rows * length / taken
            lean = 0 if found > _WORTHWHILE * rate else lean + 1
            rate, rows = max(rate, found), 2 * rows
        return rate, dict(_decoded(model, _tokens(model, length + load.response // 2), most, goes_on))


def _decoded(
    model: ChatModel, context: Tokens, most: int, goes_on: Callable[[float], bool]
) -> Iterator[tuple[int, float]]:
    """Seconds of a decoding step behind a text of medium length, with more and more rows."""
    decoding = Decoding(model, model.batch([0], [context]))
    _seconds(model, decoding.next_logits)
    lean, best, before = 0, 0.0, 0.0
    sizes = [1 << power for power in range(most.bit_length()) if 1 << power < most] + [most]
    have = 1
    for rows in sizes:
        if rows > 1 and not goes_on(2 * _TIMES * before):
            return
        # The rows that there are, again.
        decoding.keep(torch.arange(rows, device=model.device) % have)
        have = rows
        before = _best(model, partial(_step, decoding, rows, model.device))
        yield rows, before
        lean = 0 if rows / before > best * _WORTHWHILE else lean + 1
        best = max(best, rows / before)
        if lean == 2:
            return


def _step(decoding: Decoding, rows: int, device: torch.device) -> None:
    # What they say does not matter.
    decoding.take(torch.zeros(rows, dtype=torch.int64, device=device))
    decoding.next_logits()


def _read(model: ChatModel, prompt: Tokens, rows: int) -> None:
    batch = model.batch(list(range(rows)), [prompt] * rows)
    model.next_token_logits(batch.ids, batch.mask, batch.positions, model.new_cache())


def _tokens(model: ChatModel, count: int) -> Tokens:
    """So many tokens, as far as the model has positions."""
    rows = len(embedding_matrix(model.network))
    return [(97 + 31 * number) % rows for number in range(min(count, model.positions or count))]


def _best(model: ChatModel, work: Callable[[], object]) -> float:
    """Seconds of the fastest of a few: what else a machine does can only make it slower."""
    times: list[float] = []
    while len(times) < _TIMES and (not times or sum(times) < _ENOUGH):
        times.append(_seconds(model, work))
    return min(times)


def _seconds(model: ChatModel, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    if model.device.type != "cpu":
        torch.accelerator.synchronize(model.device)
    return max(1e-9, time.perf_counter() - start)


def _loading(settings: Settings) -> float | None:
    """Bytes a second of the weight files as they are read here; None where they are not on this disk."""
    folder = folder_of(settings.model, settings.model_commit)
    try:
        files = weight_files(folder) if folder else []
    except UsageError:
        return None
    start, read = time.perf_counter(), 0
    try:
        for path in files:
            with Path(path).open("rb", buffering=0) as file:
                while read < _READ and (piece := file.read(1 << 24)):
                    read += len(piece)
    except OSError:
        return None
    return round(read / max(1e-9, time.perf_counter() - start), 1) if read else None

"""How much memory there is, on a device or of this machine, and what is done where it runs out."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from typing import TypeVar

import psutil
import torch

from heretic_tui.events import Memory

T = TypeVar("T")


def memory_share(device: torch.device, share: float) -> int:
    """Bytes that are a share of what is free on a device at this moment (the CPU: of this machine)."""
    if device.type == "cuda":
        return int(share * torch.cuda.mem_get_info(device)[0])
    return int(share * psutil.virtual_memory().available)


def free_memory() -> None:
    """Give back what nothing refers to any more: models are full of cycles, and torch keeps blocks of a GPU."""
    # The host of a screen has frozen what was alive when a search began (tui/host.py), a model among it.
    gc.unfreeze()
    gc.collect()
    release_blocks()


def release_blocks() -> None:
    """Give back the blocks of a GPU that torch keeps for tensors to come: of other sizes they may not fit in them."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def give_heap_back() -> None:
    """Give the system the pages of the heap that hold nothing. The C library keeps them, and where many tensors of some
    MB come and go, they add up to many times what is in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def memory_in_use() -> Memory:
    """Bytes in use on all GPUs, or by this process where there is none."""
    if torch.cuda.is_available():
        pairs = [torch.cuda.mem_get_info(index) for index in range(torch.cuda.device_count())]
        total = sum(all_of_it for _, all_of_it in pairs)
        return Memory(where="gpu", used=total - sum(free for free, _ in pairs), total=total)
    used = psutil.Process().memory_info().rss
    return Memory(where="process", used=used, total=psutil.virtual_memory().total)


class PeakMemory:
    """The most memory that a piece of work takes, from when this is made: on all GPUs what this process has there, else
    what it grows by."""

    def __init__(self) -> None:
        self._before, self._most = psutil.Process().memory_info().rss, _most_resident()

    def bytes(self) -> int | None:
        """None where that is not known: no system call tells, or the process had more before the work began."""
        if torch.cuda.is_available():
            return sum(torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count()))
        most = _most_resident()
        return None if most is None or most == self._most else max(0, most - self._before)


def _most_resident() -> int | None:
    """Bytes that this process has had in memory, at most; None where no system call tells."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error is a lack of memory, on a GPU or (an ordinary RuntimeError) on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def fewer_bits(quantization: str) -> str:
    """What one is told to do where a model does not fit, by how it was to be loaded."""
    flags = {"none": "--quantization bnb_8bit or bnb_4bit, or ", "bnb_8bit": "--quantization bnb_4bit, or "}
    return f"{flags.get(quantization, '')}a larger GPU"


def halving(
    size: int, attempt: Callable[[int], T], halve: Callable[[int], int], spare: Callable[[], bool] = lambda: False
) -> T:
    """What `attempt(size)` returns; where memory runs out, what it returns with half of the size, and so on.

    Args:
        halve: called with the size that was too much, before the next attempt; returns a smaller one, at least 1.
        spare: called first: whether something else was dropped, so that the same size may do.

    Raises:
        RuntimeError: from an attempt, where it is no lack of memory (or torch.OutOfMemoryError: where the size is 1).
    """
    while True:
        try:
            return attempt(size)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            spared = spare()
            if size == 1 and not spared:
                raise
        # Not above: there the error's traceback still holds the tensors that are in the way.
        size = size if spared else halve(size)
        release_blocks()

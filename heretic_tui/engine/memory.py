"""How much memory there is, on a device or of this machine."""

from __future__ import annotations

import gc

import psutil
import torch

from heretic_tui.events import Memory


def memory_share(device: torch.device, share: float) -> int:
    """Bytes that are a share of what is free on a device at this moment (the CPU: of this machine)."""
    if device.type == "cuda":
        return int(share * torch.cuda.mem_get_info(device)[0])
    return int(share * psutil.virtual_memory().available)


def free_memory() -> None:
    """Give back what nothing refers to any more: models are full of cycles, and torch keeps blocks of a GPU."""
    # A screen's host has frozen what was alive when a search began (runtime/hosts.py), a model among it.
    gc.unfreeze()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def memory_in_use() -> Memory:
    """Bytes in use on all GPUs, or by this process where there is none."""
    if torch.cuda.is_available():
        pairs = [torch.cuda.mem_get_info(index) for index in range(torch.cuda.device_count())]
        total = sum(all_of_it for _, all_of_it in pairs)
        return Memory(where="gpu", used=total - sum(free for free, _ in pairs), total=total)
    used = psutil.Process().memory_info().rss
    return Memory(where="process", used=used, total=psutil.virtual_memory().total)


def out_of_memory(error: BaseException) -> bool:
    """Whether the error is a lack of memory, on a GPU or (an ordinary RuntimeError) on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)

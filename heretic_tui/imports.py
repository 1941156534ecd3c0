"""The import of large libraries, in no more time than it takes."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def large_imports() -> Iterator[None]:
    """Within the block no garbage is collected. What an import makes stays for good, and going through all of it
    again and again, as it grows, takes a fifth of the time of torch and transformers; nor is it gone through later."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()

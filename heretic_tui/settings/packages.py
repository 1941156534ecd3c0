"""Packages that a setting needs, and that need not be there."""

from __future__ import annotations

import importlib.util

from heretic_tui.settings.schema import Settings


def lacking_for_quantization(settings: Settings) -> str | None:
    """Why weights cannot be loaded in fewer bits here; None where nothing stands against it."""
    if settings.quantization == "none" or importlib.util.find_spec("bitsandbytes"):
        return None
    return (
        f"quantization: {settings.quantization} needs bitsandbytes, which is not installed: pip install bitsandbytes "
        "(it is tried on Linux), or --quantization none"
    )

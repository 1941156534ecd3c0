"""What a trial does to first tokens, as text for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from heretic_tui.runtime.rundir import RunFolder
from heretic_tui.runtime.text import plain


def read_shift(folder: RunFolder, trial: int) -> dict[str, Any] | None:
    """What engine/shift.py found for a trial, None where nobody has asked yet or the file is damaged."""
    try:
        record = json.loads(folder.shift(trial).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record else None


def shift_text(shift: Mapping[str, Any], count: int) -> list[str]:
    """The sets' means, and of each set the prompts that moved most."""
    lines: list[str] = []
    for name, found in shift.items():
        lines.append(f"{name.replace('_', ' ')}: KL divergence {found['kl_divergence']:.4f}")
        for word in ("gained", "lost"):
            tokens = "  ".join(f"{token!r} {share:+.3f}" for token, share in found[word])
            lines.append(f"  {word + ' on average':18} {tokens or 'nothing'}")
        for record in found["prompts"][:count]:
            lines.append(f"  {record['kl_divergence']:8.4f}  {record['prompt']}")
            for word in ("gained", "lost"):
                tokens = "  ".join(f"{token!r} {a:.2f}>{b:.2f}" for token, a, b in record[word])
                if tokens:
                    lines.append(f"            {word:6} {tokens}")
        lines.append("")
    return [plain(line) for line in lines]

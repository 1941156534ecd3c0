"""What a trial does to first tokens, as text for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heretic_tui.engine.events import are_tokens, fits
from heretic_tui.errors import HereticError
from heretic_tui.runtime.files import read_json
from heretic_tui.runtime.rundir import RunFolder
from heretic_tui.runtime.text import plain


def read_shift(folder: RunFolder, trial: int) -> dict[str, Any] | None:
    """What engine/shift.py found for a trial, None where nobody has asked yet or the file is damaged."""
    try:
        record = read_json(folder.shift(trial))
    except (FileNotFoundError, HereticError):
        return None
    return record if record and fits(record, dict[str, dict[str, Any]]) and all(map(_whole, record.values())) else None


def _whole(found: Mapping[str, Any]) -> bool:
    """Whether this is what was found for one set."""
    return (
        fits(found.get("kl_divergence"), float)
        and all(are_tokens(found.get(word), 1) for word in ("gained", "lost"))
        and fits(found.get("prompts"), list[dict[str, Any]])
        and all(
            fits(record.get("prompt"), str)
            and fits(record.get("kl_divergence"), float)
            and all(are_tokens(record.get(word), 2) for word in ("gained", "lost"))
            for record in found["prompts"]
        )
    )


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

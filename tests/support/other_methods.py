"""A package with methods of its own, as somebody else would install it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from heretic_tui.plugins import Kind

ENTROPY_SHIFT = '''"""Entropy shift: how much less sure of its first word an edit makes a model on harmless prompts."""

from heretic_tui.engine.metrics.base import FirstTokenMetric
from heretic_tui.figures import Figure


class EntropyShift(FirstTokenMetric):
    figure = Figure(
        "entropy shift", "entropy", "mean change of the entropy of the first response token, in nats", digits=3
    )

    def take_base(self, base):
        self._base = entropy(base)

    def per_prompt(self, rows, log_probabilities):
        return (entropy(log_probabilities) - self._base[list(rows)].to(log_probabilities.device)).abs()


def entropy(log_probabilities):
    return -(log_probabilities.exp() * log_probabilities.clamp(min=-1e4)).sum(dim=-1)


METHOD = EntropyShift
'''

LENGTH = '''"""Length: how many characters the responses to bad prompts have."""

from heretic_tui.engine.metrics.base import ResponseMetric
from heretic_tui.figures import Figure


class Length(ResponseMetric):
    figure = Figure("mean length", "length", "characters of responses, of up to {length} tokens", digits=1)

    def of(self, responses):
        return sum(len(response.text) for response in responses) / len(responses)


METHOD = Length
'''

SHORT = '''"""Short: refused where a response has but few characters."""

from heretic_tui.engine.metrics.base import Verdict
from heretic_tui.engine.metrics.judges.base import Judge


class Short(Judge):
    judged = "are short"

    @classmethod
    def made(cls, settings, special_tokens):
        return cls()

    def verdict(self, text):
        return Verdict(len(text) < 8, None)

    def certain(self, text):
        return False


METHOD = Short
'''

TWO = '''"""Two: the difference of means, and beside it the direction along which the bad prompts differ most."""

import torch


class Two:
    def directions(self, good, bad):
        first = torch.nn.functional.normalize(bad.mean - good.mean, dim=-1)
        spread = bad.each.double().movedim(0, 1) - bad.mean[:, None]
        spread = spread - (spread @ first[..., None]) * first[:, None]
        return torch.stack([first, torch.linalg.svd(spread, full_matrices=False).Vh[:, 0]], dim=1)


METHOD = Two
'''


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, methods: Mapping[tuple[Kind, str], str]) -> None:
    """Put a package on the path whose entry points name these methods; the text of each is a module of its own."""
    distribution = folder / "other_methods-1.0.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: other-methods\nVersion: 1.0\n")
    lines = []
    for (kind, name), text in methods.items():
        module = f"other_methods_{name}"
        (folder / f"{module}.py").write_text(text, encoding="utf-8")
        lines.append(f"[{kind.group}]\n{name} = {module}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)
    # A section stands once.
    sections: dict[str, str] = {}
    for line in lines:
        head, _, point = line.partition("\n")
        sections[head] = sections.get(head, "") + point
    (distribution / "entry_points.txt").write_text("".join(f"{head}\n{points}" for head, points in sections.items()))
    monkeypatch.syspath_prepend(str(folder))

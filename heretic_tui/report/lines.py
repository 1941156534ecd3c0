"""Facts of a run as lines: the front as a table, a direction in words."""

from __future__ import annotations

from typing import Any

from heretic_tui.run.state import TrialRecord


def front_table(front: list[TrialRecord]) -> list[str]:
    """Lines with number, refusals, KL divergence and direction of each trial."""
    lines = [f"{'trial':>5}  {'refusals':>9}  {'KL':>8}  direction"]
    for trial in front:
        refusals = f"{trial.refusals}/{trial.prompts}"
        lines.append(
            f"{trial.number:>5}  {refusals:>9}  {trial.kl_divergence:>8.4f}  {direction_words(trial.parameters)}"
        )
    return lines


def direction_words(parameters: dict[str, Any]) -> str:
    index = parameters.get("direction_index")
    return "per layer" if index is None else f"layer {index:.2f}"

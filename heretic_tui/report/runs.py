"""The commands `runs`, `show` and `compare` as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from heretic_tui.report.lines import direction_words
from heretic_tui.words import plain


def counted_trials(run: Mapping[str, Any]) -> str:
    """31/60 of what `overview` tells; 118/118 where more trials are done than are planned now. Empty where nothing is
    known."""
    done, planned = run["trials"], run["n_trials"]
    return "" if done is None else f"{done}/{max(done, planned)}"


def overview_table(runs: list[dict[str, Any]]) -> list[str]:
    """Lines for people."""
    width = max(len(run["run"]) for run in runs)
    lines = [f"{'run':{width}}  {'state':16} {'trials':>9}  {'base':>7}  best trials (refusals, KL)"]
    for run in runs:
        if "problem" in run:
            lines.append(f"{run['run']:{width}}  {run['state']}: {run['problem']}")
            continue
        base = f"{run['base_refusals']}/{run['prompts']}" if run["prompts"] else "-"
        best = ", ".join(f"{t['number']}: {t['refusals']}, {t['kl_divergence']:.4f}" for t in run["best"]) or "-"
        lines.append(f"{run['run']:{width}}  {run['state']:16} {counted_trials(run):>9}  {base:>7}  {best}")
    return [plain(line) for line in lines]


def details_text(shown: dict[str, Any]) -> list[str]:
    """Base figures, the front with its kernels, and the settings, as lines for people."""
    base = shown["base"]
    prompts = base["prompts"] if base else 0
    trials = shown["trials"]
    counts = Counter(trial["state"] for trial in trials)
    lines = [
        f"run     {shown['run']}",
        f"model   {shown['model']}",
        f"trials  {', '.join(f'{n} {state}' for state, n in counts.items()) or 'none begun'}",
        f"base    {base['refusals']} of {prompts} refused" if base else "base    not measured yet",
        "",
        f"front   {'trial':>5}  {'refusals':>9}  {'KL':>8}  direction    component: peak at layer, floor at distance",
    ]
    front = [trial for trial in trials if trial["front"]]
    for trial in sorted(front, key=lambda t: (t["refusals"], t["kl_divergence"])):
        kernels = "; ".join(
            f"{name}: {k['max_weight']:.2f} at {k['max_weight_position']:.1f}, "
            f"{k['min_weight']:.2f} at {k['min_weight_distance']:.1f}"
            for name, k in trial["components"].items()
        )
        refusals = f"{trial['refusals']}/{prompts}"
        words = direction_words(trial)
        lines.append(
            f"        {trial['number']:>5}  {refusals:>9}  {trial['kl_divergence']:>8.4f}  {words:11}  {kernels}"
        )
    if not front:
        lines.append("        no complete trial yet")
    lines += ["", "settings"]
    lines += [f"  {key} = {value}" for key, value in (shown["settings"] or {}).items()]
    return [plain(line) for line in lines]


def compare_text(found: dict[str, Any], width: int = 24) -> list[str]:
    """The comparison as lines for people, with a bar of up to `width` characters for each cosine."""
    lines = [
        f"{word:7} {run['run']}  ({run['model']})" for word, run in zip(("first", "second"), found["runs"], strict=True)
    ]
    differ = [part for part, same in found["same"].items() if not same]
    lines += [f"differ  {', '.join(differ) or 'in nothing that decides results'}", "", found["sentence"], ""]
    lines.append(f"{'layer':>5}  {'cosine':>7}  {'of r':>7}  {'|r| ratio':>9}  {'nearest':>7}  {'cosine':>7}")
    for row in found["layers"]:
        name = "embed" if row["layer"] is None else str(row["layer"])
        if row["cosine"] is None:
            lines.append(f"{name:>5}  {'-':>7}")
            continue
        bar = "█" * round(abs(row["cosine"]) * width)
        lines.append(
            f"{name:>5}  {row['cosine']:7.3f}  {row['cosine_difference']:7.3f}  {row['length_ratio']:9.3f}  "
            f"{row['nearest']:>7}  {row['nearest_cosine']:7.3f}  {'-' if row['cosine'] < 0 else ''}{bar}"
        )
    return [plain(line) for line in lines]

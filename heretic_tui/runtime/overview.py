"""What `runs` and `show` tell of a run folder, without the model: from its record and its journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from heretic_tui.errors import HereticError
from heretic_tui.runtime.journal import read_events
from heretic_tui.runtime.printers import direction_words
from heretic_tui.runtime.rundir import RunFolder
from heretic_tui.runtime.state import RunState
from heretic_tui.runtime.text import plain, without_passwords


def overview(folder: RunFolder) -> dict[str, Any]:
    """One run in a few figures: name, model, state, trials, and the two ends of its front. Where its files cannot be
    read, the state is "damaged", `problem` says why, and there are no figures."""
    try:
        state, model = RunState.replay(read_events(folder.events)), folder.read_record().get("model")
    except HereticError as error:
        nothing = dict.fromkeys(("model", "trials", "n_trials", "base_refusals", "prompts"))
        return {"run": folder.name, **nothing, "state": "damaged", "problem": str(error), "best": []}
    holder = folder.holder()
    front = state.front()
    return {
        "run": folder.name,
        "model": model,
        "state": f"{state.word(True)} ({holder})" if holder else state.outcome or "stopped",
        "trials": state.finished,
        "n_trials": state.n_trials,
        "base_refusals": state.base.refusals if state.base else None,
        "prompts": state.base.prompts if state.base else None,
        "best": [
            {"number": t.number, "refusals": t.refusals, "kl_divergence": t.kl_divergence}
            for t in ([front[0], front[-1]] if len(front) > 1 else front)
        ],
    }


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


def details(folder: RunFolder) -> dict[str, Any]:
    """Everything that `show --json` promises; trials in order of their numbers."""
    state = RunState.replay(read_events(folder.events))
    alive = folder.holder() is not None
    front = {trial.number for trial in state.front()}
    record = folder.read_record()
    return {
        "run": folder.name,
        "model": record.get("model"),
        "settings": _shown(record.get("settings")),
        "seed": record.get("seed"),
        "base": {"refusals": state.base.refusals, "prompts": state.base.prompts} if state.base else None,
        "trials": [
            {
                "number": trial.number,
                "state": "stopped" if trial.state == "running" and not alive else trial.state,
                "kl_divergence": trial.kl_divergence,
                "refusals": trial.refusals,
                "refusals_at_least": trial.at_least,
                "refusals_estimated": trial.estimate,
                "front": trial.number in front,
                "seconds": trial.seconds,
                "direction_index": trial.parameters.get("direction_index"),
                "components": trial.parameters.get("components", {}),
                "reason": trial.reason,
            }
            for _, trial in sorted(state.trials.items())
        ],
    }


def _shown(settings: Any) -> Any:
    """Runs of the time before hold the storage's URL with its password."""
    if isinstance(settings, dict) and isinstance(settings.get("storage"), str):
        return {**settings, "storage": without_passwords(settings["storage"])}
    return settings


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

"""What `runs` and `show` tell of a run folder, without the model: from its record and its journal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState, TrialRecord
from heretic_tui.words import without_passwords


def overview(folder: RunFolder) -> dict[str, Any]:
    """One run in a few figures: name, model, state, trials, and the two ends of its front. Where its files cannot be
    read, the state is "damaged", `problem` says why, and there are no figures."""
    try:
        state, model = RunState.replay(read_events(folder.events)), folder.read_record().get("model")
    except HereticError as error:
        nothing = dict.fromkeys(("model", "trials", "n_trials", "figures", "base"))
        return {"run": folder.name, **nothing, "state": "damaged", "problem": str(error), "best": []}
    holder = folder.holder()
    front = state.front()
    return {
        "run": folder.name,
        "model": model,
        "state": f"{state.word(True)} ({holder})" if holder else state.outcome or "stopped",
        "trials": state.finished,
        "n_trials": state.n_trials,
        "figures": [asdict(figure) for figure in state.figures],
        "base": _base(state),
        "best": [
            {"number": t.number, "figures": t.figures} for t in ([front[0], front[-1]] if len(front) > 1 else front)
        ],
    }


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
        "figures": [asdict(figure) for figure in state.figures],
        "base": _base(state),
        "trials": [
            {
                "number": trial.number,
                "state": "stopped" if trial.state == "running" and not alive else trial.state,
                "figures": trial.figures,
                "at_least": trial.at_least,
                "estimate": trial.estimate,
                "front": trial.number in front,
                "seconds": trial.seconds,
                "direction_index": trial.parameters.get("direction_index"),
                "components": trial.parameters.get("components", {}),
                "reason": trial.reason,
            }
            for _, trial in sorted(state.trials.items())
        ],
    }


def _base(state: RunState) -> dict[str, Any] | None:
    return {"figures": state.base.figures, "prompts": state.base.prompts} if state.base else None


def _shown(settings: Any) -> Any:
    """Runs of the time before hold the storage's URL with its password."""
    if isinstance(settings, dict) and isinstance(settings.get("storage"), str):
        return {**settings, "storage": without_passwords(settings["storage"])}
    return settings


def complete_trial(folder: RunFolder, number: int) -> tuple[RunState, TrialRecord]:
    state = RunState.replay(read_events(folder.events))
    trial = state.trials.get(number)
    if trial is None or trial.state != "complete":
        front = ", ".join(str(t.number) for t in state.front()) or "none yet"
        what = "does not exist" if trial is None else f"is {trial.state}"
        raise UsageError(f"trial {number} of {folder.name} {what}; on the front are: {front}")
    return state, trial

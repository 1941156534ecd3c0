"""What is found out about the value of a setting before a run: whether it can be used, why not, what was meant."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from heretic_tui.bounds import SPACES
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import nearest_there, user_path
from heretic_tui.settings.model_names import cached_models, folder_of, hub_cache
from heretic_tui.settings.prompt_sets import DEFAULT_SETS, PROMPT_FILES
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.workers import lacking_for_workers, worker_count
from heretic_tui.tui.model_files import Device, meant, missing_model, path_completions
from heretic_tui.tui.plan_looks import ModelLook, SetLook
from heretic_tui.tui.preview import SETS, directions_problem, search_problems

# What is said of a setting: it can be used, it cannot, it is being looked at, or nothing is known of it yet.
State = Literal["good", "bad", "looking", "unknown"]


@dataclass(frozen=True)
class Finding:
    """What is known of the value of a setting.

    Attributes:
        note: a few words beside the value.
        reason: why it cannot be used.
        instead: the value that was probably meant, or lies beside those of other settings; tab takes it.
    """

    state: State
    note: str = ""
    reason: str = ""
    instead: str | None = None


def path_of(text: str) -> Path:
    """What a text names, also where it cannot be a path."""
    try:
        return user_path(text)
    except HereticError:
        return Path(text)


def named_model(settings: Settings) -> Finding | None:
    """What the name of a model tells by itself; None where its files have to be looked at."""
    name = settings.model
    if not name:
        return Finding("bad", "", "Choose a model: a folder, or a Hub id.")
    if folder_of(name, settings.model_commit) is not None:
        return None
    instead = meant(name, ())
    if problem := missing_model(name):
        return Finding("bad", "not there", problem, instead)
    near = difflib.get_close_matches(name, cached_models(), n=1, cutoff=0.8)
    return Finding("unknown", "on the Hub", instead=instead or next(iter(near), None))


def model_finding(settings: Settings, look: ModelLook) -> Finding:
    """What its files tell."""
    if look.problem:
        # The path stands in the line above.
        return Finding("bad", "cannot be used", look.problem.removeprefix(f"{path_of(settings.model).resolve()} "))
    if os.path.isdir(path_of(settings.model)):
        return Finding("good", "on this disk")
    return Finding("good", "cached" if look.whole else "cached in part")


def set_finding(settings: Settings, name: str, look: SetLook) -> Finding:
    """What is known of a prompt set by itself."""
    dataset = getattr(settings, name).dataset
    if look.problem:
        reason = look.problem.removeprefix(f"{name}: ").removeprefix(f"{dataset}: ")
        gone = reason.startswith("no such file")
        return Finding("bad", "", reason, meant(dataset, PROMPT_FILES) if gone else None)
    if look.prompts is None:
        return Finding("unknown", "cached" if cached_data(dataset) else "on the Hub", instead=_beside(settings, name))
    return Finding("good", f"{look.prompts:,}")


def _beside(settings: Settings, name: str) -> str | None:
    """A file beside those of the other sets whose name says that it is this one's; None where there is none, or where
    the set was chosen."""
    if getattr(settings, name) != DEFAULT_SETS[name]:
        return None
    kinds = _HARMLESS if name.startswith("good") else _HARMFUL
    purpose = _EVALUATION if "evaluation" in name else _TRAINING
    taken = {getattr(settings, other).dataset for other in SETS}
    for folder in dict.fromkeys(
        os.path.dirname(dataset) for dataset in sorted(taken) if os.path.isfile(path_of(dataset))
    ):
        for path in path_completions(os.path.join(folder, "") if folder else "./", PROMPT_FILES):
            words = set(re.split(r"[^a-z]+", os.path.basename(path).lower()))
            if words & kinds and words & purpose and path.removeprefix("./") not in taken and not path.endswith("/"):
                return path.removeprefix("./")
    return None


_HARMLESS = frozenset({"harmless", "good", "safe", "benign", "allowed"})
_HARMFUL = frozenset({"harmful", "bad", "unsafe", "restricted", "refused", "evil"})
_TRAINING = frozenset({"train", "training", "direction"})
_EVALUATION = frozenset({"eval", "evaluation", "test", "heldout", "validation"})


def cached_data(dataset: str) -> bool:
    """Whether anything of a data set of the Hub is on this disk."""
    return (hub_cache() / f"datasets--{dataset.replace('/', '--')}").is_dir()


def methods_finding(settings: Settings) -> Finding | None:
    """Where the direction methods lack a setting, or one is set that none of them uses. Of the default alone nothing is
    to be said, and no library is loaded."""
    defaults = Settings.model_fields["direction_method"].get_default(call_default_factory=True)
    if settings.direction_method == defaults and not (
        settings.keep_prompts or settings.direction_file or settings.directions_per_layer > 1
    ):
        return None
    problem = directions_problem(settings)
    return Finding("good") if problem is None else Finding("bad", "", problem)


def search_findings(settings: Settings) -> dict[str, Finding]:
    """Of a space, trials to begin with, or an edit to be on top of, where they are not the default: of that nothing is
    to be said, and no library is loaded."""
    named = {
        "search_space": settings.search_space not in SPACES,
        "seed_trials": bool(settings.seed_trials),
        "on_top_of": bool(settings.on_top_of),
    }
    if not any(named.values()):
        return {}
    problems = search_problems(settings)
    instead = next(iter(difflib.get_close_matches(settings.search_space, SPACES, n=1, cutoff=0.5)), None)
    return {
        key: Finding("bad", "", problems[key], instead if key == "search_space" else None)
        if key in problems
        else Finding("good")
        for key, given in named.items()
        if given
    }


def place_findings(settings: Settings) -> dict[str, Finding]:
    """Folders that a run writes to, where they cannot be used."""
    try:
        place = user_path(settings.runs_dir)
    except HereticError as error:
        return {"runs_dir": Finding("bad", "", str(error))}
    there = nearest_there(place)
    if not there.is_dir():
        return {"runs_dir": Finding("bad", "", f"{there} is no folder: no run can lie in it")}
    if not os.access(there, os.W_OK | os.X_OK):
        return {"runs_dir": Finding("bad", "", f"{there} cannot be written to")}
    return {}


def workers_finding(settings: Settings, device: Device | None) -> Finding | None:
    """What workers need, where it is not there.

    Args:
        device: None before it is known.
    """
    if lacking := lacking_for_workers(settings):
        return Finding("bad", "no Ray", lacking)
    try:
        worker_count(settings, device.gpus if device else 0)
    except UsageError as error:
        return Finding("bad", "", str(error))
    return None

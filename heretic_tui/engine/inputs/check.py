"""Everything that can be checked before a model is loaded: settings, prompts, the model's files."""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass, replace
from pathlib import Path

from heretic_tui import __version__
from heretic_tui.engine.checkpoint.source import check_weights, fingerprint, load_config, load_tokenizer, locate
from heretic_tui.engine.checkpoint.stored import refuse_foreign_links
from heretic_tui.engine.checkpoint.tokenizer_files import other_template
from heretic_tui.engine.inputs.direction_files import checked_direction_file, direction_path
from heretic_tui.engine.inputs.prompts import (
    PromptSets,
    check_sets,
    digest,
    kept_set,
    load_prompt_set,
    local_path,
    whole_kept,
)
from heretic_tui.engine.inputs.text_check import check_text
from heretic_tui.errors import UsageError
from heretic_tui.files import checksum, user_path
from heretic_tui.run.rounds import Base, read_base, whole_name
from heretic_tui.run.seeds import whole_names
from heretic_tui.settings.identity import identity
from heretic_tui.settings.older import as_now
from heretic_tui.settings.own_markers import markers_problem
from heretic_tui.settings.packages import lacking_for_quantization
from heretic_tui.settings.prompt_sets import KEPT_SET, RUN_SETS
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.search_space import with_bounds
from heretic_tui.settings.sources import validated


@dataclass(frozen=True)
class Inputs:
    """What can be checked before the model is loaded, checked.

    Attributes:
        settings: with a search space that has a name, and with the model, the prompt sets (those to keep too) and what
            `seed_trials` names as absolute paths where they are folders or files.
        sets: prompts by setting name.
        notes: what the user should know about the prompts.
        identity: everything that decides the results, as plain JSON.
        base: what the search is on top of; None for the model itself.
    """

    settings: Settings
    sets: PromptSets
    notes: list[str]
    identity: dict[str, object]
    base: Base | None = None


def check_inputs(settings: Settings, base: Base | None = None) -> Inputs:
    """Read the prompts, look at the model's files, and check that the prompts reach the model.

    Args:
        base: what the search is on top of, where that is known; else it is what the setting `on_top_of` names.

    Raises:
        UsageError: for whatever is wrong with them, in one line.
    """
    if lacking := lacking_for_quantization(settings):
        raise UsageError(lacking)
    if problem := markers_problem(settings):
        raise UsageError(problem)
    named: dict[str, object] = {
        "model": locate(settings.model),
        "seed_trials": whole_names(settings.seed_trials),
        "keep_prompts": [whole_kept(text) for text in settings.keep_prompts],
    }
    if settings.on_top_of and base is None:
        runs_dir = user_path(settings.runs_dir)
        named["on_top_of"] = text = whole_name(settings.on_top_of, runs_dir)
        base = _in_present_words(read_base(text, runs_dir))
    settings = with_bounds(settings).model_copy(update=named)
    # The tokenizer comes second: it reads the configuration too, and would say less of it.
    config = load_config(settings)
    tokenizer = load_tokenizer(settings)
    model_notes = []
    if Path(settings.model).is_dir():
        check_weights(settings, config)
        if note := other_template(Path(settings.model)):
            model_notes.append(note)
        try:
            refuse_foreign_links(Path(settings.model))
        except UsageError as error:
            model_notes.append(f"no trial can be exported as it stands: {error}")
    loaded = {name: load_prompt_set(getattr(settings, name), name, settings.system_prompt) for name in RUN_SETS}
    loaded |= {
        KEPT_SET + text: load_prompt_set(kept_set(text), "keep_prompts", settings.system_prompt)
        for text in settings.keep_prompts
    }
    checked, notes = check_sets(loaded)
    sets = {name: tuple(found.prompts) for name, found in checked.items()}
    notes = [*model_notes, *(note for found in loaded.values() for note in found.notes), *notes]
    notes += check_text(tokenizer, config, settings, sets)
    facts: dict[str, object] = {
        "settings": identity(settings),
        "model": fingerprint(settings),
        "prompts": digest(checked),
    }
    if path := checked_direction_file(settings):
        facts["direction_file"] = checksum(path)
    if settings.seed_trials:
        # By their names, which a record of an export does not give away: the run keeps what it read of them.
        facts["seed_trials"] = hashlib.sha256("\n".join(settings.seed_trials).encode()).hexdigest()
    if base and base.rounds:
        base.check(settings.model, settings.model_dump(mode="json"), facts["model"])
        facts["rounds"] = base.digest
    return Inputs(_with_whole_paths(settings), sets, notes, facts, base)


def _in_present_words(base: Base) -> Base:
    """With settings as this version has them, all of them."""
    rounds = []
    for each in base.rounds:
        now = validated(as_now(each.settings, each.run), each.run)
        rounds.append(replace(each, settings=now.model_dump(mode="json")))
    return replace(base, rounds=tuple(rounds))


def _with_whole_paths(settings: Settings) -> Settings:
    """Prompt files by their absolute paths, so that the run finds them from any folder."""
    changes: dict[str, object] = {}
    for name in RUN_SETS:
        spec = getattr(settings, name)
        if path := local_path(spec.dataset, name):
            changes[name] = spec.model_copy(update={"dataset": str(path)})
    if settings.direction_file is not None:
        changes["direction_file"] = str(direction_path(settings.direction_file))
    return settings.model_copy(update=changes)


def versions(quantization: str) -> dict[str, str]:
    """Versions of what the results depend on, by the setting `quantization`."""
    names = ["torch", "transformers", "peft", "optuna", "safetensors"]
    names += ["bitsandbytes"] if quantization != "none" else []
    return {"heretic-tui": __version__, **{name: importlib.metadata.version(name) for name in names}}

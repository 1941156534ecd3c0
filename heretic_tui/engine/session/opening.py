"""A run begun in a folder, or gone on with: its seed, and what run.json says of it from then on; and one that lies on
the disk, as whoever works on its results has it."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import replace

from heretic_tui.engine.inputs.check import Inputs, check_inputs, versions
from heretic_tui.errors import UsageError
from heretic_tui.files import user_path
from heretic_tui.run.folder import RunFolder, folder_of_run
from heretic_tui.run.record import RunRecord, needed
from heretic_tui.run.rounds import base_of, keep_base
from heretic_tui.settings.identity import identity
from heretic_tui.settings.older import DEFAULTS_OF_BEFORE
from heretic_tui.settings.record import from_record, to_record
from heretic_tui.settings.schema import Settings
from heretic_tui.words import quoted


def as_it_began(inputs: Inputs) -> Inputs:
    """What a run is opened with. Where its folder is not there, but that of an earlier version is, which differs by
    nothing but what a default was then, that run goes on as it was: with what it was begun with."""
    settings, runs_dir = inputs.settings, user_path(inputs.settings.runs_dir)
    if folder_of_run(runs_dir, settings.model, inputs.identity).path.exists():
        return inputs
    changes: dict[str, object] = {}
    # Of each version: the later a default changed, the more versions had the one before.
    for name, value in DEFAULTS_OF_BEFORE.items():
        if name in settings.model_fields_set:
            continue
        changes[name] = value
        then = settings.model_copy(update=changes)
        known = {**inputs.identity, "settings": identity(then)}
        if folder_of_run(runs_dir, settings.model, known).path.exists():
            words = ", ".join(f"{name.replace('_', ' ')} {str(value).lower()}" for name, value in changes.items())
            note = f"this run was begun by an earlier version and goes on as it was ({words})"
            return replace(inputs, settings=then, identity=known, notes=[*inputs.notes, note])
    return inputs


def known_seed(folder: RunFolder, given: int | None, told: int | None) -> int:
    """The seed of a run: given, or kept when it began, or drawn now.

    Args:
        given: by the settings.
        told: by the run's events.

    Raises:
        UsageError: when those that are known differ: files were changed, or are another run's.
    """
    known = {"--seed": given, "run.json": folder.read_record().seed, "events.jsonl": told}
    known = {where: seed for where, seed in known.items() if seed is not None}
    if len({repr(seed) for seed in known.values()}) > 1:
        said = ", ".join(f"{quoted(seed)} by {where}" for where, seed in known.items())
        raise UsageError(
            f"the seed of run {folder.name} is {said}: put {folder.path} back as it was, or begin "
            "another run with --runs-dir or --seed"
        )
    seed = next(iter(known.values()), None)
    if seed is None:
        return random.SystemRandom().randrange(2**31)
    if not 0 <= seed < 2**31:
        raise UsageError(f"{folder.record} holds no seed but {quoted(seed)}: put back a copy")
    return seed


def begin_run(folder: RunFolder, inputs: Inputs, seed: int) -> bool:
    """Write what the run is to run.json. Returns whether there was one already."""
    record = folder.read_record()
    now = replace(
        record,
        run=folder.name,
        model=inputs.settings.model,
        settings=to_record(inputs.settings),
        identity=inputs.identity,
        seed=seed,
        versions=versions(inputs.settings.quantization),
        created=round(time.time()) if record.created is None else record.created,
    )
    folder.save_record(now)
    keep_base(folder, inputs.base)
    return record != RunRecord()


def recorded_settings(folder: RunFolder, changes: Mapping[str, object], own: Settings) -> Settings:
    """The settings of a run that lies on the disk.

    Args:
        changes: such as are to differ from the run's.
        own: the user's settings: they allow what the run's record cannot.

    Raises:
        UsageError: where they are not known, do not fit this version, or ask for what `own` does not allow.
    """
    recorded = needed(folder.read_record().settings, "settings", folder.record)
    return from_record({**recorded, **changes}, own, str(folder.record))


def unchanged_inputs(folder: RunFolder, settings: Settings) -> Inputs:
    """The model and the prompts of a run that lies on the disk, checked.

    Raises:
        UsageError: where they cannot be used, or are not those of the run any more.
    """
    then = needed(folder.read_record().identity, "identity", folder.record)
    inputs = check_inputs(settings, base_of(folder))
    whats = ("model", "prompts", "direction_file")
    if changed := [what.replace("_", " ") for what in whats if inputs.identity.get(what) != then.get(what)]:
        raise UsageError(f"the {changed[0]} changed since the run was made: start a new run")
    return inputs

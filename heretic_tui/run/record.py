"""run.json: what a run is, and what its phases found that is small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, TypeVar

from heretic_tui.errors import UsageError
from heretic_tui.files import read_json, write_json
from heretic_tui.records import Misfit, as_json, read_object

T = TypeVar("T")

# How the prompts that directions are made from are read: without padding, or in padded batches. The last digits of
# directions depend on it.
Reading = Literal["packed", "padded"]

# Each round makes every edit of the next ones larger by its directions.
MOST_ROUNDS = 8

_WHAT_HELPS = "put back a copy, or delete the run folder"


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The plan of a run as its record keeps it. What was not known is None.

    Attributes:
        memory, disk: bytes while trials are measured, and in the run folder.
        first, trial: seconds to the first trial, and for each.
        at_most: whether these are the most that it can be, by a probe, and not what an earlier run took.
    """

    memory: int | None = None
    disk: int | None = None
    first: float | None = None
    trial: float | None = None
    at_most: bool = False


@dataclass(frozen=True, kw_only=True)
class Round:
    """An earlier round of a run: a trial of another run, whose edit every trial of this run is on top of. All that it
    takes to find its directions anew, and what was measured of it there.

    Attributes:
        run, trial: the run's name, and the trial's number in it.
        parameters: of its edit, as plain JSON (parameters.py).
        rank: how many directions of a layer it takes out.
        directions: SHA-256 of the file that its directions lie in.
        settings: of that run, as plain JSON.
        local: settings (prompt sets) of which only the name is given, as in a record that is passed on.
        identity: of that run.
        figures, prompts: of the trial, as they were measured there.
        batch_size, response_prefix, clock, reading, loaded_as: those of that run (`RunRecord`).
    """

    run: str
    trial: int
    parameters: Mapping[str, object]
    rank: int = 1
    directions: str
    settings: Mapping[str, object]
    local: tuple[str, ...] = ()
    identity: Mapping[str, object]
    figures: Mapping[str, float]
    prompts: int | None = None
    batch_size: int
    response_prefix: str
    clock: str | None = None
    reading: Reading | None = None
    loaded_as: str | None = None


def methods_named(settings: Mapping[str, object]) -> list[str]:
    """The direction methods of a run's settings; runs of older versions had one, and no name for it."""
    value = settings.get("direction_method")
    names = value if isinstance(value, list) else [value] if value is not None else ["mean_difference"]
    return [str(name) for name in names]


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The content of run.json. What is None, or empty, is not known, or not yet.

    Attributes:
        run: the run's name.
        settings: as plain JSON, without passwords.
        identity: everything that decides the results, as plain JSON.
        versions: of what the results depend on, by package.
        created: when the run was made, seconds since 1970.
        clock: the time that its chat template is told, as ISO 8601.
        batch_size: prompts in one forward pass, found by measuring.
        step_seconds: seconds of a decoding step, by the number of rows.
        response_prefix: what every response is made to begin with.
        reading: how the prompts were read that the directions were made from.
        loaded_as: the entry of the setting `dtypes` that the figures were measured with.
        trials_at_once: how many trials are in hand while their responses are decoded.
        looks_at_once: how many are in hand of those that are only looked at.
        checked_with: what figures of checks depend on beside the trial, as a digest, by the name of the check.
        workers: how many workers these two were chosen for; 0 where the run began in one process.
        planned: what the run was to take, reckoned before its first trial.
        peak_memory: bytes that the run has had on the GPUs, or without one in memory, at most.
        checksums: of files that figures depend on, by their paths in the run folder.
        rounds: earlier rounds, the first one first, whose edits every trial is on top of.
        other: what a newer version wrote; it is kept.
    """

    run: str | None = None
    model: str | None = None
    settings: Mapping[str, object] | None = None
    identity: Mapping[str, object] | None = None
    seed: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    created: float | None = None
    clock: str | None = None
    batch_size: int | None = None
    step_seconds: Mapping[str, float] = field(default_factory=dict)
    response_prefix: str | None = None
    reading: Reading | None = None
    loaded_as: str | None = None
    trials_at_once: int | None = None
    looks_at_once: int = 1
    checked_with: Mapping[str, str] = field(default_factory=dict)
    workers: int = 0
    planned: Planned | None = None
    peak_memory: int | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    rounds: tuple[Round, ...] = ()
    other: Mapping[str, object] = field(default_factory=dict, metadata={"unwritten": True})

    @property
    def direction_methods(self) -> list[str]:
        """The run's direction methods by name, the first one first."""
        return methods_named(self.settings or {})

    def to_json(self) -> dict[str, object]:
        nothing = RunRecord()
        names = [each.name for each in fields(self) if each.name != "other"]
        known = {name: as_json(getattr(self, name)) for name in names if getattr(self, name) != getattr(nothing, name)}
        return {**known, **self.other}


def read_record(path: Path) -> RunRecord:
    """A run.json; an empty record where there is none yet.

    Raises:
        UsageError: when the file is damaged.
    """
    try:
        content = read_json(path)
    except FileNotFoundError:
        return RunRecord()
    except UsageError as error:
        raise UsageError(f"{error}: {_WHAT_HELPS}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no record of a run: {_WHAT_HELPS}")
    known = {each.name for each in fields(RunRecord)} - {"other"}
    try:
        if lost := [name for name in known if name in content and content[name] is None]:
            raise Misfit(place=lost[0])
        return read_object(RunRecord, content, other={k: v for k, v in content.items() if k not in known})
    except Misfit as misfit:
        raise UsageError(f"{path} is damaged ({misfit}): {_WHAT_HELPS}") from misfit


def write_record(path: Path, record: RunRecord) -> None:
    """
    Raises:
        HereticError: when the disk is full or the folder cannot be written to.
    """
    write_json(path, record.to_json())


def needed(value: T | None, name: str, path: Path) -> T:
    """What a run.json must hold for what is to be done.

    Raises:
        UsageError: when it does not.
    """
    if value is None:
        raise UsageError(f"{path} lacks {name!r}: put back a copy, or run the same command again")
    return value

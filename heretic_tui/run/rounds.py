"""Searches on top of an edit: the earlier rounds of a run, read from the run that they were found in, and kept in its
own folder, so that it does not matter what becomes of that run."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import checksum
from heretic_tui.parameters import Parameters
from heretic_tui.records import as_json
from heretic_tui.run.folder import RunFolder, find_run, find_runs
from heretic_tui.run.overview import complete_trial
from heretic_tui.run.record import MOST_ROUNDS, Round, needed
from heretic_tui.words import quoted

# Settings that all rounds have to have alike: they say what the matrices are called, and what lies behind them.
_ALIKE = ("component_kinds", "account_for_post_norm")


@dataclass(frozen=True)
class Base:
    """What a search is on top of.

    Attributes:
        rounds: the first one first.
        files: where the directions of each lie now.
    """

    rounds: tuple[Round, ...]
    files: tuple[Path, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides the edits."""
        facts = [
            [each.parameters, each.directions, *(each.settings.get(name) for name in ("edit_method", *_ALIKE))]
            for each in self.rounds
        ]
        return hashlib.sha256(json.dumps(as_json(facts), sort_keys=True).encode()).hexdigest()

    def check(self, model: str, settings: Mapping[str, object], of_model: object) -> None:
        """Check that a run can be on top of it.

        Args:
            model: as it was named.
            settings: of that run, as plain JSON.
            of_model: the fingerprint of the model's files.

        Raises:
            UsageError: where it cannot.
        """
        last = self.rounds[-1]
        if last.identity.get("model") != of_model:
            named = last.settings.get("model")
            raise UsageError(
                f"trial {last.trial} of {last.run} is an edit of {quoted(named, 200)} as it was then, and "
                f"{quoted(model, 200)} is another model, or has changed since"
            )
        for name in _ALIKE:
            if settings.get(name) != last.settings.get(name):
                flag, value = name.replace("_", "-"), str(last.settings.get(name)).lower()
                raise UsageError(
                    f"--{flag} has to be what it was in {last.run} ({value}): the search is to be on top of that"
                )


def parts_of(text: str) -> tuple[str, int]:
    """The run and the trial that the setting `on_top_of` names, RUN:TRIAL."""
    name, _, number = text.rpartition(":")
    return name, int(number)


def on_top_words(settings: Mapping[str, object]) -> str:
    """`trial 11 of demo-1234`, from the settings of a run; empty where it is on top of the model itself."""
    text = settings.get("on_top_of")
    if not isinstance(text, str) or not text.rpartition(":")[2].isdigit():
        return ""
    name, number = parts_of(text)
    return f"trial {number} of {name.rstrip('/').rpartition('/')[2]}"


def whole_name(text: str, runs_dir: Path) -> str:
    """The same with the run's whole name, or its absolute path where it lies elsewhere than the other runs: so that it
    is the same run from any folder."""
    name, number = parts_of(text)
    try:
        folder = find_run(runs_dir, name)
    except UsageError:
        # Where the run is gone, what was kept of it has to do.
        kept = _kept_of(text, runs_dir)
        return f"{kept.rounds[-1].run}:{number}" if kept else text
    path = folder.path.resolve()
    return f"{folder.name if path.parent == runs_dir.resolve() else path}:{number}"


def read_base(text: str, runs_dir: Path) -> Base:
    """What the setting `on_top_of` names: the trial, and the rounds that its own run was on top of. Where that run is
    gone, what another run kept of it.

    Args:
        text: as `whole_name` gives it.

    Raises:
        UsageError: where there is no such trial, it was not measured in full, or its run is not whole.
    """
    name, number = parts_of(text)
    try:
        folder = find_run(runs_dir, name)
    except UsageError:
        if kept := _kept_of(text, runs_dir):
            return kept
        raise
    state, trial = complete_trial(folder, number)
    record = folder.read_record()
    settings = needed(record.settings, "settings", folder.record)
    given, prefix = settings.get("batch_size"), settings.get("response_prefix")
    batch_size = given if isinstance(given, int) and given else record.batch_size
    try:
        folder.check(folder.directions)
    except FileNotFoundError as error:
        raise UsageError(
            f"{folder.directions} is gone, and a search on top of that run needs it: put back a copy"
        ) from error
    found = Round(
        run=folder.name,
        trial=number,
        parameters=trial.required_parameters.to_json(),
        rank=state.rank_of(trial.required_parameters),
        directions=checksum(folder.directions),
        settings=settings,
        identity=needed(record.identity, "identity", folder.record),
        figures=trial.figures,
        prompts=trial.prompts,
        batch_size=needed(batch_size, "batch_size", folder.record),
        response_prefix=prefix if isinstance(prefix, str) else record.response_prefix or "",
        clock=record.clock,
        reading=record.reading or "padded",
        loaded_as=record.loaded_as,
    )
    earlier = base_of(folder)
    if len(earlier.rounds) >= MOST_ROUNDS:
        raise UsageError(f"{folder.name} is on top of {len(earlier.rounds)} rounds already, which are the most")
    return Base((*earlier.rounds, found), (*earlier.files, folder.directions))


def parameters_before(folder: RunFolder) -> list[Parameters]:
    """The edits of the earlier rounds of a run, the first one first.

    Raises:
        UsageError: where its record is damaged.
    """
    rounds = enumerate(folder.read_record().rounds, start=1)
    return [Parameters.from_json(each.parameters, f"{folder.record}: round {number}") for number, each in rounds]


def base_of(folder: RunFolder) -> Base:
    """What the run of a folder is on top of; without rounds where it is on top of the model itself."""
    rounds = folder.read_record().rounds
    return Base(rounds, tuple(folder.round_directions(number) for number in range(1, len(rounds) + 1)))


def keep_base(folder: RunFolder, base: Base | None) -> None:
    """Write it to a run's folder, unless that holds it.

    Raises:
        HereticError: when it cannot be read, or written to.
    """
    if base is None or not base.rounds or folder.read_record().rounds:
        return
    for number, (each, file) in enumerate(zip(base.rounds, base.files, strict=True), start=1):
        path = folder.round_directions(number)
        try:
            shutil.copyfile(file, path)
        except OSError as error:
            raise HereticError(f"cannot copy {file} to {path}: {error.strerror}") from error
        if checksum(path) != each.directions:
            raise UsageError(f"{file} is damaged (its checksum is another)")
        folder.seal(path)
    folder.save_record(replace(folder.read_record(), rounds=base.rounds))


def _kept_of(text: str, runs_dir: Path) -> Base | None:
    """What a run kept that was begun on top of the same; None where there is none."""
    name, number = parts_of(text)
    name, folders = name.rstrip("/").rpartition("/")[2], find_runs(runs_dir)
    if any(folder.name.startswith(name) for folder in folders):
        # It is there, or more than one may be meant.
        return None
    for folder in folders:
        # One that cannot be read is no help.
        with suppress(HereticError):
            rounds = folder.read_record().rounds
            if rounds and rounds[-1].trial == number and rounds[-1].run.startswith(name):
                return base_of(folder)
    return None


def round_words(rounds: tuple[Round, ...]) -> str:
    """`trial 11 of demo-1234, and on top of that trial 4 of demo-5678`."""
    return ", and on top of that ".join(f"trial {each.trial} of {each.run}" for each in rounds)

"""The run folder: where a run's files lie, its record, and who writes to it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from heretic_tui.errors import UsageError
from heretic_tui.events import fits
from heretic_tui.files import checksum, read_json, user_path, write_json
from heretic_tui.run import lock

# What run.json holds, as far as this version reads it.
_RECORD: dict[str, Any] = {
    "run": str,
    "model": str,
    "settings": dict[str, Any],
    "identity": dict[str, Any],
    "seed": int,
    "versions": dict[str, str],
    "created": float,
    "batch_size": int,
    "step_seconds": dict[str, float],
    "response_prefix": str,
    "trials_at_once": int,
    "checksums": dict[str, str],
    "loaded_as": str,
}
_WHAT_HELPS = "put back a copy, or delete the run folder"


class RunFolder:
    """Paths and small files of one run. Large results are written by the engine, through `replaced`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def record(self) -> Path:
        return self.path / "run.json"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def study(self) -> Path:
        return self.path / "study.journal"

    @property
    def baseline(self) -> Path:
        return self.path / "baseline.safetensors"

    @property
    def directions(self) -> Path:
        return self.path / "directions.safetensors"

    @property
    def residuals(self) -> Path:
        return self.path / "residuals.safetensors"

    @property
    def geometry(self) -> Path:
        return self.path / "geometry.json"

    @property
    def projections(self) -> Path:
        return self.path / "projections.json"

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    @property
    def conversations(self) -> Path:
        """What people and models said to each other, a file each."""
        return self.path / "conversations"

    @property
    def log(self) -> Path:
        return self.path / "engine.log"

    def responses(self, trial: int | None) -> Path:
        """Responses of a trial, or of the base model for None."""
        return self.path / "responses" / ("base.json" if trial is None else f"trial-{trial:04}.json")

    def shift(self, trial: int) -> Path:
        """What a trial does to first tokens."""
        return self.path / f"shift-{trial:04}.json"

    def create(self) -> None:
        """Make the folder where it is not there yet; one that is there keeps its rights.

        Raises:
            UsageError: when it cannot be made or written to.
        """
        try:
            # Other users of the machine need not read what a model was asked.
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.path / "responses").mkdir(exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot write to the runs folder {self.path.parent}: {error.strerror}") from error
        if not os.access(self.path, os.W_OK):
            raise UsageError(f"cannot write to the run folder {self.path}: it is read only")

    def lock(self) -> None:
        """Become the folder's one writer until `unlock` or the process ends.

        Raises:
            UsageError: when another process is, with its pid.
        """
        try:
            self._lock = lock.take(self.path / "lock")
        except lock.HeldError as error:
            raise UsageError(
                f"run {self.name} is held by process {error.pid or 'unknown'}: wait for it, stop it, or choose another "
                "--runs-dir"
            ) from error
        except OSError as error:
            raise UsageError(f"cannot write to the run folder {self.path}: lock: {error.strerror}") from error

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def holder(self) -> int | None:
        """Pid of the process that writes to the run at this moment (-1 where it is not known), None when nobody does.
        Asking does not keep another process from taking the lock."""
        return lock.holder(self.path / "lock")

    def read_record(self, *needed: str) -> dict[str, Any]:
        """run.json, empty where there is none yet.

        Args:
            needed: what it must hold.

        Raises:
            UsageError: when the file is damaged, or lacks something needed.
        """
        try:
            record = read_json(self.record)
        except FileNotFoundError:
            record = {}
        except UsageError as error:
            raise UsageError(f"{error}: {_WHAT_HELPS}") from error
        if not isinstance(record, dict):
            raise UsageError(f"{self.record} holds no record of a run: {_WHAT_HELPS}")
        for name, value in record.items():
            if not fits(value, _RECORD.get(name, Any)):
                raise UsageError(f"{self.record} is damaged ({name!r} cannot be {value!r:.40}): {_WHAT_HELPS}")
        if lacking := [name for name in needed if name not in record]:
            raise UsageError(f"{self.record} lacks {lacking[0]!r}: put back a copy, or run the same command again")
        return record

    def seal(self, path: Path) -> None:
        """Keep the checksum of a file, just written, that figures will rest on."""
        known = self.read_record().get("checksums", {})
        self.update_record(checksums={**known, path.relative_to(self.path).as_posix(): checksum(path)})

    def check(self, path: Path) -> None:
        """See that a file is what was written when it was sealed. (Older versions sealed none: theirs are believed.)

        Raises:
            FileNotFoundError: when it is not there.
            UsageError: when it cannot be read, or is another.
        """
        found, known = checksum(path), self.read_record().get("checksums", {})
        if known.get(path.relative_to(self.path).as_posix(), found) != found:
            raise UsageError(f"{path} is damaged (its checksum in {self.record.name} is another)")

    def update_record(self, **changes: Any) -> None:
        write_json(self.record, {**self.read_record(), **changes})

    def forget(self, *names: str) -> None:
        """Take what has those names out of run.json."""
        write_json(self.record, {name: value for name, value in self.read_record().items() if name not in names})


def run_name(model: str, identity: dict[str, Any]) -> str:
    """Model and digest of everything that decides the results, so that another configuration is another run."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(model).name).strip("-.") or "model"
    return f"{base[:60]}-{digest[:8]}"


def folder_of_run(runs_dir: Path, model: str, identity: dict[str, Any]) -> RunFolder:
    """The folder of the run with an identity. One that is there goes on, whatever the model's folder was called when it
    began: it is the same model."""
    name = run_name(model, identity)
    if not (runs_dir / name).exists():
        for run in find_runs(runs_dir):
            if run.name.rpartition("-")[2] == name.rpartition("-")[2]:
                # One that cannot be read is not this run's to repair.
                with suppress(UsageError):
                    if run.read_record().get("identity") == identity:
                        return run
    return RunFolder(runs_dir / name)


def find_runs(runs_dir: Path) -> list[RunFolder]:
    """The runs there are, by name; none where the folder is not there.

    Raises:
        UsageError: when the folder cannot be read.
    """
    try:
        return [RunFolder(path) for path in sorted(runs_dir.iterdir()) if _is_run(path)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UsageError(f"cannot read the runs folder {runs_dir}: {error.strerror}") from error


def _is_run(path: Path) -> bool:
    try:
        os.stat(path / "run.json")
    except PermissionError:
        # A folder that may not be looked into is listed with that, and not left out.
        return path.is_dir()
    except OSError:
        return False
    return True


def latest_run(runs_dir: Path) -> RunFolder:
    """The run that something happened in last.

    Raises:
        UsageError: when there is no run.
    """
    runs = [run for run in find_runs(runs_dir) if run.events.is_file()]
    if not runs:
        raise UsageError(f"no runs in {runs_dir}")
    return max(runs, key=lambda run: run.events.stat().st_mtime)


def find_run(runs_dir: Path, name: str) -> RunFolder:
    """A run by its folder name, the beginning of it, or the folder's path.

    Raises:
        UsageError: when there is no such run, or more than one begins so.
    """
    # An empty variable is no beginning of a name.
    if not name.strip():
        raise UsageError(f"no run is named (`heretic-tui runs` lists those in {runs_dir})")
    if os.path.isfile((path := user_path(name)) / "run.json"):
        return RunFolder(path.resolve())
    runs = find_runs(runs_dir)
    exact = [run for run in runs if run.name == name]
    fitting = exact or [run for run in runs if run.name.startswith(name)]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(run.name for run in (fitting or runs)) or "none"
    problem = f"more than one run begins with {name}" if fitting else f"no run {name} in {runs_dir}"
    raise UsageError(f"{problem} (runs: {names})")

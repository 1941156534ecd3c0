"""The run folder: where a run's files lie, its record, and who writes to it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shlex import quote

from heretic_tui.errors import UsageError
from heretic_tui.files import checksum, default_runs_dir, user_path
from heretic_tui.run import lock
from heretic_tui.run.record import RunRecord, read_record, write_record


class RunFolder:
    """Paths and small files of one run. Large results are written by the engine, through `replaced`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self._known: RunRecord | None = None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def called(self) -> str:
        """What a command finds the run by in any terminal, as it is typed: its name where it is among the runs that are
        looked for unless told otherwise, else its path."""
        path = self.path.absolute()
        return quote(path.name if path.parent == default_runs_dir().absolute() else str(path))

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
    def seed_trials(self) -> Path:
        """Trials that the search begins with, as they were read when the run began."""
        return self.path / "seed_trials.json"

    def round_directions(self, number: int) -> Path:
        """The directions of an earlier round, which are counted from 1."""
        return self.path / f"round-{number}.safetensors"

    @property
    def writers(self) -> Path:
        """Names of the matrices that can be edited, and the gains of the norms behind them."""
        return self.path / "writers.safetensors"

    @property
    def openings(self) -> Path:
        """How refusals begin."""
        return self.path / "openings.json"

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
    def annotations(self) -> Path:
        """What people say of the trials."""
        return self.path / "annotations.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "engine.log"

    @property
    def lines(self) -> Path:
        """What a run without a terminal prints."""
        return self.path / "run.log"

    @property
    def socket(self) -> Path:
        """By which other terminals control the run while a process is at work on it."""
        return self.path / "attach.sock"

    def responses(self, trial: int | None) -> Path:
        """Responses of a trial, or of the base model for None."""
        return self.path / "responses" / ("base.json" if trial is None else f"trial-{trial:04}.json")

    def full_answers(self, trial: int | None, harmless: bool) -> Path:
        """Answers to evaluation prompts that were decoded to their end on request; the base model's for None."""
        name = "base" if trial is None else f"{trial:04}"
        return self.path / "responses" / f"full-{'harmless-' if harmless else ''}{name}.json"

    @property
    def review(self) -> Path:
        """What reviews of its finalists found (run/review_folder.py)."""
        return self.path / "review"

    def shift(self, trial: int) -> Path:
        """What a trial does to first tokens."""
        return self.path / f"shift-{trial:04}.json"

    def card(self, trial: int) -> Path:
        """What a person wrote of a trial for its model card."""
        return self.path / f"card-{trial:04}.md"

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
                f"{self.name} is already running (process {error.pid or 'unknown'}). Control it: heretic-tui attach "
                f"{self.called}. Watch it: heretic-tui follow {self.called}"
            ) from error
        except OSError as error:
            raise UsageError(f"cannot write to the run folder {self.path}: lock: {error.strerror}") from error

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = self._known = None

    def holder(self) -> int | None:
        """Pid of the process that writes to the run at this moment (-1 where it is not known), None when there is none.
        Asking does not keep another process from taking the lock."""
        return lock.holder(self.path / "lock")

    def read_record(self) -> RunRecord:
        """run.json; an empty record where there is none yet. While the folder is locked no other process writes it: it
        is read once then.

        Raises:
            UsageError: when the file is damaged.
        """
        if self._known is not None:
            return self._known
        record = read_record(self.record)
        if self._lock is not None:
            self._known = record
        return record

    def save_record(self, record: RunRecord) -> None:
        """Write run.json, whole or not at all.

        Raises:
            HereticError: when the disk is full or the folder cannot be written to.
        """
        write_record(self.record, record)
        if self._lock is not None:
            self._known = record

    def seal(self, path: Path) -> None:
        """Keep the checksum of a file, just written, that figures depend on."""
        record = self.read_record()
        checksums = {**record.checksums, path.relative_to(self.path).as_posix(): checksum(path)}
        self.save_record(replace(record, checksums=checksums))

    def check(self, path: Path) -> None:
        """Check that a file is unchanged since it was sealed. (Older versions sealed none: theirs are not checked.)

        Raises:
            FileNotFoundError: when it is not there.
            UsageError: when it cannot be read, or is another.
        """
        found, known = checksum(path), self.read_record().checksums
        if known.get(path.relative_to(self.path).as_posix(), found) != found:
            raise UsageError(f"{path} is damaged (its checksum in {self.record.name} is another)")


def run_name(model: str, identity: Mapping[str, object]) -> str:
    """Model and digest of everything that decides the results, so that another configuration is another run."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(model).name).strip("-.") or "model"
    return f"{base[:60]}-{digest[:8]}"


def folder_of_run(runs_dir: Path, model: str, identity: Mapping[str, object]) -> RunFolder:
    """The folder of the run with an identity. One that is there goes on, whatever the model's folder was called when it
    began: it is the same model."""
    name = run_name(model, identity)
    if not (runs_dir / name).exists():
        for run in find_runs(runs_dir):
            if run.name.rpartition("-")[2] == name.rpartition("-")[2]:
                # One that cannot be read is not this run's to repair.
                with suppress(UsageError):
                    if run.read_record().identity == identity:
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
        # A folder that may not be read is listed with that reason, and not left out.
        return path.is_dir()
    except OSError:
        return False
    return True


def latest_run(runs_dir: Path) -> RunFolder:
    """The run that something happened in last.

    Raises:
        UsageError: when there is no run.
    """
    runs = latest_first(runs_dir)
    if not runs:
        raise UsageError(f"no runs in {runs_dir}")
    return runs[0]


def latest_first(runs_dir: Path) -> list[RunFolder]:
    """The runs that something happened in, the one that it happened in last first."""
    found = []
    for run in find_runs(runs_dir):
        # One that is deleted meanwhile is none any more.
        with suppress(OSError):
            if run.events.is_file():
                found.append((run.events.stat().st_mtime, run))
    return [run for _, run in sorted(found, key=lambda each: each[0], reverse=True)]


def running_run(runs_dir: Path) -> RunFolder:
    """The run that a process is at work on.

    Raises:
        UsageError: when there is none, or more than one.
    """
    runs = [run for run in find_runs(runs_dir) if run.holder() is not None]
    if len(runs) == 1:
        return runs[0]
    if not runs:
        raise UsageError(f"no run of {runs_dir} is running (`heretic-tui runs` lists them)")
    raise UsageError(f"more than one run is running: name one of {', '.join(run.name for run in runs)}")


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

"""Where Optuna keeps a study: a journal in the run folder, or a storage of the user's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection

from heretic_tui.errors import UsageError, one_line
from heretic_tui.files import trim_torn_line
from heretic_tui.words import without_passwords

# The user attribute of a trial that a person chose, not the search: true, or what file or run it is from.
BY_HAND = "by hand"
# Of both objectives the smaller value is the better one.
OBJECTIVES = [StudyDirection.MINIMIZE, StudyDirection.MINIMIZE]


def open_study(storage: str | Path, name: str) -> optuna.Study:
    """The study of a run, a new one where there is none. To be called by the holder of the run's lock only.

    Raises:
        UsageError: when the storage cannot be opened, or what it holds cannot be read; with what can be done about it.
    """
    try:
        backend = None
        if isinstance(storage, Path):
            if storage.exists() and not storage.is_file():
                raise UsageError(f"{storage} is no regular file: move it aside")
            # Only the holder of the run's lock writes here, so what a crash left can be removed: a partial line,
            # and the journal's own lock, which would hold up this process for a grace period.
            trim_torn_line(storage)
            storage.with_name(storage.name + ".lock").unlink(missing_ok=True)
            backend = JournalStorage(_Journal(str(storage), JournalFileOpenLock(str(storage))))
        study = optuna.create_study(
            storage=backend or str(storage),
            study_name=name,
            directions=OBJECTIVES,
            load_if_exists=True,
        )
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(_not_opened(storage, error)) from error
    if study.directions != OBJECTIVES:
        raise UsageError(f"{where_of(storage)} holds a study {name} of another program: give another storage")
    return study


def where_of(storage: str | Path) -> str:
    return str(storage) if isinstance(storage, Path) else f"the storage {without_passwords(storage)}"


def _not_opened(storage: str | Path, error: Exception) -> str:
    """Why a storage cannot be opened, and what to do. Deleting is advice for a damaged file of the run's own alone."""
    where, said = where_of(storage), one_line(error)
    if isinstance(storage, Path):
        if isinstance(error, OSError):
            return f"cannot open {storage}: {error.strerror or said}"
        return (
            f"{where} is damaged ({said}): put back a copy, or move it aside: finished trials are in events.jsonl as "
            "well and are entered again"
        )
    kinds = {cls.__name__ for cls in type(error).__mro__}
    if isinstance(error, ImportError):
        missing = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        return f"{where} cannot be opened: its driver is not installed ({one_line(missing)})"
    if kinds & {"ArgumentError", "ValueError"}:
        return f"{where} is no storage that can be opened ({said}): give a URL such as sqlite:////folder/study.db"
    if kinds & {"OperationalError", "InterfaceError"}:
        return (
            f"{where} cannot be opened: {said}; check that it is there and can be written to, the address, user and "
            "password; nothing in it was changed"
        )
    return f"{where} cannot be used: {said}; check that the URL names the right one; nothing in it was changed"


class _Journal(JournalFileBackend):
    """Optuna's journal, that leaves no half of a line where the disk is full."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        path = self._file_path
        end = os.path.getsize(path)
        try:
            super().append_logs(logs)
        except OSError:
            os.truncate(path, end)
            raise

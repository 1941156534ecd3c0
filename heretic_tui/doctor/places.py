"""The folders that runs write to: whether they can be written to, what they can hold, and how much is free."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from heretic_tui.doctor.probe import Finding
from heretic_tui.errors import HereticError
from heretic_tui.files import nearest_there, short_path, user_path
from heretic_tui.machine import disk_free
from heretic_tui.words import size_words

# Less than this holds hardly a run; less than that holds no model.
_NO_RUN, _NO_MODEL = 1e8, 5e9


def look_at_runs(runs_dir: str) -> list[Finding]:
    """Where runs lie: what they need of a file system.

    Args:
        runs_dir: the setting.
    """
    return [_place("runs", user_path(runs_dir), "choose another place: --runs-dir", _holds_runs)]


def look_at_temporary() -> list[Finding]:
    """Where files are kept for the length of a task."""
    try:
        where = tempfile.gettempdir()
    except OSError as error:
        said = f"no folder for temporary files ({error.strerror or error})"
        return [Finding(name="temporary", state="fix", said=said, todo="set TMPDIR")]
    return [_place("temporary", Path(where), "set TMPDIR to another place")]


def look_at_cache() -> list[Finding]:
    """Where models of the Hub are kept."""
    from heretic_tui.settings.model_names import cached_models, hub_cache

    found = _place("Hub cache", hub_cache(), "set HF_HOME to another place", most=_NO_MODEL)
    kept = len(cached_models())
    said = f"{found.said}, {kept} {'model' if kept == 1 else 'models'} in it"
    return [Finding(name=found.name, state=found.state, said=said, todo=found.todo)]


def _place(
    name: str,
    path: Path,
    elsewhere: str,
    holds: Callable[[Path], str] = lambda folder: "",
    most: float = _NO_RUN,
) -> Finding:
    """One folder.

    Args:
        elsewhere: how another one is chosen.
        holds: what is wrong with an empty folder there, beyond that it can be written to.
        most: bytes of which fewer are worth a word.
    """
    there, shown = nearest_there(path), short_path(path)
    try:
        with tempfile.TemporaryDirectory(prefix=".heretic-tui-", dir=there) as made:
            probe = Path(made) / "written"
            probe.write_bytes(b"0" * 4096)
            wrong = holds(Path(made))
    except OSError as error:
        reason = error.strerror or str(error)
        return Finding(name=name, state="fix", said=f"{shown} cannot be written to ({reason})", todo=elsewhere)
    free = disk_free(path)
    said = f"{shown}, " + ("free space is not known" if free is None else f"{size_words(free)} free")
    if wrong:
        return Finding(name=name, state="note", said=f"{said}; {wrong}", todo=elsewhere)
    if free is not None and free < _NO_RUN:
        return Finding(name=name, state="fix", said=said, todo=f"make room, or {elsewhere}")
    if free is not None and free < most:
        return Finding(name=name, state="note", said=said, todo=f"make room, or {elsewhere}")
    return Finding(name=name, state="ok", said=said)


def _holds_runs(folder: Path) -> str:
    """Whether a file system holds locks, by which a run has one writer, and sockets, by which terminals attach."""
    from heretic_tui.run.attach.place import listen
    from heretic_tui.run.lock import take

    try:
        os.close(take(folder / "lock"))
    except OSError as error:
        return f"its file system locks no files ({error.strerror or error}), so no run can be written there"
    try:
        listen(folder / "attach.sock").close()
    except OSError as error:
        return f"its file system holds no sockets ({error.strerror or error}), so nobody can attach to a run"
    return ""


def look_at_settings(load: Callable[[], object]) -> list[Finding]:
    """Whether the settings of this person can be read.

    Args:
        load: reads them.
    """
    try:
        load()
    except HereticError as error:
        return [Finding(name="settings", state="fix", said=str(error))]
    where = next((name for name in ("heretic.toml",) if os.path.isfile(name)), None)
    return [Finding(name="settings", state="ok", said=f"read from {where}" if where else "the defaults")]

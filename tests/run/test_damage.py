"""A run folder whose files were damaged: every command ends in a line, or with what it was asked for; none falls."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState
from tests.support.commands import Ended, mounted

Heretic = Callable[..., Ended]
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, sets: list[str]) -> Path:
    """A finished run of a tiny model with all that commands leave in it, in a folder of runs."""
    from heretic_tui.cli.main import run_command

    runs = tmp_path_factory.mktemp("finished") / "runs"
    assert run_command(["run", str(tiny_folder), *sets, "--n-trials", "2", "--seed", "1", "--runs-dir", str(runs)]) == 0
    assert run_command(["tokens", "model", "--trial", "0", "--runs-dir", str(runs)]) == 0
    return runs


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage, with a whole run beside it."""
    copy = Path(shutil.copytree(finished, tmp_path / "runs"))
    (folder,) = copy.iterdir()
    shutil.copytree(folder, copy / "whole")
    return copy


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replaced_by_a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def halved(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def changed_in_the_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    middle = len(data) * 2 // 3
    data[middle : middle + 8] = bytes(255 - byte for byte in data[middle : middle + 8])
    path.write_bytes(bytes(data))


DAMAGES: dict[str, Damage] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "halved": halved,
    "changed in the middle": changed_in_the_middle,
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 9 + b"\n"),
    "null": lambda path: path.write_bytes(b"null\n"),
    "a list": lambda path: path.write_bytes(b"[]\n"),
    "an object": lambda path: path.write_bytes(b"{}\n"),
    "nested deeply": lambda path: path.write_bytes(b"[" * 100_000 + b"\n"),
    "a long integer": lambda path: path.write_bytes(b"1" * 5000 + b"\n"),
    "a folder": replaced_by_a_folder,
    "a FIFO": replaced_by_a_fifo,
}
FILES = (
    "run.json", "events.jsonl", "study.journal", "baseline.safetensors", "directions.safetensors", "openings.json",
    "residuals.safetensors", "geometry.json", "projections.json", "shift-0000.json", "responses/base.json",
    "responses/trial-0000.json", "writers.safetensors", "engine.log", "lock",
)  # fmt: skip
LIGHT: tuple[tuple[str, ...], ...] = (
    ("runs",), ("runs", "--json"), ("show", "model"), ("show", "model", "--json"), ("geometry", "model"),
    ("geometry", "model", "--csv"), ("tokens", "model"), ("tokens", "model", "--trial", "0"),
    ("compare", "model", "whole"), ("compare", "whole", "model", "--json"),
    ("plot", "model", "--method", "pca", "--layers", "1", "--no-animation"),
)  # fmt: skip


def told(done: Ended, what: object) -> None:
    """A command that failed says why in one line, and none shows a traceback."""
    said = f"{what}: {done.err}"
    assert done.status in (0, 1, 2), said
    # What is logged belongs to engine.log; in this process it comes to standard error too.
    assert "Traceback" not in done.out + done.err.partition(" ERROR heretic_tui.")[0], said
    if done.status:
        last = done.err.strip().splitlines()[-1]
        assert last.startswith("heretic-tui: "), said
        assert len(last) < 700, said


@pytest.mark.parametrize("name", FILES)
def test_commands_that_look_at_a_damaged_run(heretic: Heretic, runs: Path, name: str) -> None:
    (folder,) = (path for path in runs.iterdir() if path.name != "whole")
    path = folder / name
    whole = path.read_bytes()
    # What draws takes longest, and reads but one file.
    commands = LIGHT if name in ("run.json", "residuals.safetensors") else LIGHT[:-1]
    for damage, do in DAMAGES.items():
        do(path)
        for command in commands:
            # This one would load the model where the file is damaged: once is enough.
            if command[:1] == ("tokens",) and len(command) > 2 and "shift" in name and damage != "an object":
                continue
            done = heretic(*command, runs_dir=runs)
            told(done, (name, damage, command))
            if command == ("runs",):
                assert done.status == 0, (name, damage)
                assert "whole" in done.out
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(whole)


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Places in a JSON value, of lists the first and the last."""
    inner = value.items() if isinstance(value, dict) else []
    if isinstance(value, list) and value:
        inner = {0: value[0], len(value) - 1: value[-1]}.items()
    return [path, *(place for key, each in inner for place in paths_in(each, (*path, key)))]


def with_other(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_other(copy[path[0]], path[1:], other)
    return copy


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("run.json", [("runs",), ("show", "model"), ("compare", "model", "whole")]),
        ("geometry.json", [("geometry", "model"), ("geometry", "model", "--csv"), ("tokens", "model")]),
        ("shift-0000.json", [("tokens", "model", "--trial", "0")]),
    ],
)
def test_json_of_other_types_in_every_place(
    heretic: Heretic, runs: Path, monkeypatch: pytest.MonkeyPatch, name: str, commands: list[tuple[str, ...]]
) -> None:
    def no_model(*_: object) -> None:
        from heretic_tui.errors import UsageError

        raise UsageError("the model would be loaded")

    monkeypatch.setattr("heretic_tui.engine.session.score.shift_of_trial", no_model)
    monkeypatch.setattr("heretic_tui.engine.analysis.record.analysis_without_model", no_model)
    (folder,) = (path for path in runs.iterdir() if path.name != "whole")
    record = json.loads((folder / name).read_text())
    if name != "run.json":
        # As an older version left them: nothing but what is in them tells that they are damaged.
        run = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**run, "checksums": {}}))
    else:
        # Settings are checked where they are read.
        record["settings"] = {name: record["settings"][name] for name in ("model", "seed")}
    places = paths_in(record)
    assert len(places) > 10
    for number, place in enumerate(places):
        others: list[object] = [None, "text", [[]], {"a": 1}, 10**30, True]
        other = others[number % 6]
        (folder / name).write_text(json.dumps(with_other(record, place, other)))
        for command in commands:
            told(heretic(*command, runs_dir=runs), (name, place, other, command))


@pytest.fixture(scope="module")
def extended(finished: Path, tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, sets: list[str]) -> Path:
    """The same run with a third trial, and no damage before it."""
    from heretic_tui.cli.main import run_command

    runs = Path(shutil.copytree(finished, tmp_path_factory.mktemp("extended") / "runs"))
    assert run_command(["run", str(tiny_folder), *sets, "--n-trials", "3", "--seed", "1", "--runs-dir", str(runs)]) == 0
    (folder,) = runs.iterdir()
    return folder


def figures(folder: Path) -> dict[int, tuple[dict[str, float], dict[str, float]]]:
    trials = RunState.replay(read_events(folder / "events.jsonl")).trials
    return {number: (trial.figures, trial.at_least) for number, trial in trials.items()}


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("baseline.safetensors", "halved", "baseline.safetensors is damaged (its checksum in run.json is another)"),
        ("baseline.safetensors", "changed in the middle", "(its checksum in run.json is another): it is not used"),
        ("directions.safetensors", "changed in the middle", "directions.safetensors is damaged (its checksum in run.j"),
        ("directions.safetensors", "a folder", "directions.safetensors is no regular file"),
        ("responses/base.json", "changed in the middle", "base.json is damaged (its checksum in run.json is another)"),
        ("openings.json", "changed in the middle", "openings.json is damaged (its checksum in run.json is another)"),
        ("geometry.json", "halved", "geometry.json is damaged (its checksum in run.json is another): it is not used"),
        ("run.json", "a list", "holds no record of a run"),
        ("events.jsonl", "a FIFO", "events.jsonl is no regular file"),
        ("study.journal", "a FIFO", "study.journal"),
        ("engine.log", "a FIFO", "cannot write"),
        ("lock", "a folder", "lock"),
    ],
)
def test_a_damaged_run_that_is_resumed_measures_again_or_says_what_is_damaged(
    heretic: Heretic, runs: Path, extended: Path, tiny_folder: Path, sets: list[str], name: str, damage: str, said: str
) -> None:
    (folder,) = (path for path in runs.iterdir() if path.name != "whole")
    command = ["run", tiny_folder, *sets, "--n-trials", "3", "--seed", "1"]
    DAMAGES[damage](folder / name)
    done = heretic(*command, runs_dir=runs)
    told(done, (name, damage))
    assert said in done.out + done.err
    if done.status == 0:
        # What was found again is what it was before: the third trial is that of a run that nothing happened to.
        assert figures(folder) == figures(extended)


def test_checksums_are_kept_and_folders_without_them_are_believed(
    heretic: Heretic, runs: Path, tiny_folder: Path, sets: list[str]
) -> None:
    (folder,) = (path for path in runs.iterdir() if path.name != "whole")
    run = RunFolder(folder)
    record = run.read_record()
    sealed = {f"{name}.safetensors" for name in ("baseline", "directions", "residuals", "writers")}
    assert set(record.checksums) == {*sealed, "geometry.json", "openings.json", "responses/base.json"}
    assert record.checksums
    run.save_record(replace(record, checksums={}))
    done = heretic("run", tiny_folder, *sets, "--n-trials", "2", "--seed", "1", runs_dir=runs)
    assert done.status == 0
    reused = {line.split(":")[0].strip() for line in done.out.splitlines() if line.endswith("from the run folder")}
    assert reused == {"baseline", "residuals"}
    # Nor are the layers analysed, or beginnings of refusals looked for, once more.
    assert "layers: " not in done.out
    assert set(run.read_record().checksums) == set()
    assert "damaged" not in done.out


def test_a_read_only_run_folder_is_looked_at_and_exported_from_and_stays_as_it_is(
    heretic: Heretic, finished: Path, tmp_path: Path, tiny_folder: Path, sets: list[str]
) -> None:
    with mounted(tmp_path / "disk", "size=8m") as disk:
        runs = Path(shutil.copytree(finished, disk / "runs"))
        (folder,) = runs.iterdir()
        RunFolder(folder).shift(0).unlink()
        shutil.rmtree(folder / "plots", ignore_errors=True)
        folder.chmod(0o500)
        before = sorted((path, path.stat().st_mtime_ns, path.stat().st_mode) for path in [folder, *folder.rglob("*")])
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        done = heretic("tokens", "model", "--trial", "0", runs_dir=runs)
        assert done.status == 0, done.err
        assert "this is not kept: cannot write" in done.err
        plot = ("plot", "model", "--method", "pca", "--layers", "1", "--no-animation")
        assert heretic(*plot, "--out", tmp_path / "plots", runs_dir=runs).status == 0
        told(heretic(*plot, runs_dir=runs), "plot into the folder")
        done = heretic("export", "model", "--trial", "0", tmp_path / "out", runs_dir=runs)
        assert done.status == 0, done.err
        assert "exported" in done.out
        done = heretic("run", tiny_folder, *sets, "--n-trials", "3", "--seed", "1", runs_dir=runs)
        assert done.status == 2
        assert "it is read only" in done.err
        after = sorted((path, path.stat().st_mtime_ns, path.stat().st_mode) for path in [folder, *folder.rglob("*")])
        assert after == before
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        # A folder that is closed by its rights is not opened by looking at it, nor by taking it up.
        heretic("run", tiny_folder, *sets, "--n-trials", "2", "--seed", "1", runs_dir=runs)
        assert folder.stat().st_mode & 0o777 == 0o500
        # Files that are mapped into memory keep the disk busy; what was alive at an import is not collected.
        gc.unfreeze()
        gc.collect()


@pytest.mark.parametrize("name", ["directions.safetensors", "baseline.safetensors", "run.json", "responses/base.json"])
def test_an_export_from_a_damaged_run_ends_in_a_line(heretic: Heretic, runs: Path, tmp_path: Path, name: str) -> None:
    (folder,) = (path for path in runs.iterdir() if path.name != "whole")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path != folder / name}
    for damage in ("halved", "an object"):
        shutil.copy(runs / "whole" / name, folder / name)
        DAMAGES[damage](folder / name)
        done = heretic("export", "model", "--trial", "0", tmp_path / damage, runs_dir=runs)
        told(done, (name, damage))
        assert "damaged" in done.err or "cannot be read" in done.err or "run.json" in done.err, done.err
        if name == "directions.safetensors":
            assert done.status
            assert not (tmp_path / damage).exists()
    assert {path: path.read_bytes() for path in before} == before

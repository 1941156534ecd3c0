"""Bad input: each its own clear line on standard error, exit status 2, and nothing lost."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import tiny_models
from tests.support.commands import Ended, mounted

Heretic = Callable[..., Ended]


def refused(done: Ended, said: str) -> None:
    lines = done.err.strip().splitlines()
    assert done.status == 2, done.err
    assert said in lines[-1]
    assert lines[-1].startswith("heretic-tui: ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "unknown command 'rnu': did you mean 'run'?"),
        (["run", "m", "--n-trail", "5"], "unknown argument '--n-trail': did you mean '--n-trials'?"),
        (
            ["run", "m", "--n-trials", "many"],
            "n_trials (from the command line): expected a whole number from 1 to 100,000, not ",
        ),
        (
            ["run", "m", "--n-trials", "0"],
            "n_trials (from the command line): expected a whole number from 1 to 100,000",
        ),
        (["export", "r", "out", "--trial", "9" * 5000], "expected a whole number, not '999"),
        (["x" * 100_000], "unknown command 'xxx"),
        (["run", "m", "--seed", "-1"], "seed (from the command line): expected a whole number from 0 to 2,147,483,647"),
        (["run"], "no model given"),
        (["run", "./nowhere"], "no such model folder: nowhere"),
        (["score", "./nowhere"], "no such model folder: nowhere"),
        (["run", "someone/no-such-model"], "someone/no-such-model"),
        (["show", "nothing"], "no run nothing in"),
        (["show", ""], "no run is named"),
        (["export", "nothing", "--trial", "1", "out"], "no run nothing in"),
        (["plot", "nothing", "--layers", "5-3"], "there are no layers from 5 to 3: write 3-5"),
        (["plot", "nothing", "--layers", "1-99999999999"], "expected layers such as 5,10-14, not '1-99999999999'"),
        (["config", "--config", "none.toml"], "cannot read settings from none.toml: No such file"),
    ],
)
def test_the_command_line(heretic: Heretic, arguments: list[str], said: str) -> None:
    known = arguments[0] in ("run", "score", "show", "export", "plot", "config")
    done = heretic(*arguments) if known else heretic(*arguments, runs_dir=None)
    refused(done, said)
    assert len(done.err.strip().splitlines()[-1]) < 400


def test_a_working_folder_that_was_deleted_is_told(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m heretic_tui runs --runs-dir {tmp_path}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "heretic-tui: the working folder is not there any more" in done.stderr


def test_both_spellings_of_a_flag(heretic: Heretic) -> None:
    done = heretic("config", "--n_trials", "7", "--good_prompts.split", "a_b[:3]")
    assert done.status == 0
    assert "n_trials = 7" in done.out
    assert 'split = "a_b[:3]"' in done.out


def test_model_folders(heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(heretic("run", empty, *sets), f"{empty} holds no model: there is no config.json in it")

    silent = tiny_models.save(tmp_path / "silent", template=None)
    refused(heretic("run", silent, *sets), f"{silent} has no chat template: it is not a chat model")

    hollow = shutil.copytree(tiny_folder, tmp_path / "hollow")
    (hollow / "model.safetensors").unlink()
    refused(heretic("run", hollow, *sets), "holds no weights")

    torn = shutil.copytree(tiny_folder, tmp_path / "torn")
    data = (torn / "model.safetensors").read_bytes()
    (torn / "model.safetensors").write_bytes(data[: len(data) // 2])
    refused(heretic("run", torn, *sets), "model.safetensors is cut off (")
    refused(heretic("run", tiny_folder / "config.json", *sets), "is a file: a model is a folder")


def test_a_device_that_is_not_there(heretic: Heretic, sets: list[str], tiny_folder: Path) -> None:
    for device in ("gpu", "", "cuda:99"):
        done = heretic("score", tiny_folder, *sets, "--device-map", device)
        refused(done, f"device_map: {device!r} cannot be used here")
        assert "failed" not in done.err, "no dtype is tried"


def test_prompt_files(heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path) -> None:
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"fine\nnot\0fine\n")
    refused(heretic("run", tiny_folder, *sets, "--bad-prompts", bad), f"bad_prompts: {bad}: a NUL byte in line 2")
    table = tmp_path / "bad.csv"
    table.write_text("question,answer\na,b\n")
    done = heretic("run", tiny_folder, *sets, "--bad-prompts", table, "--bad-prompts.column", "prompt")
    refused(done, "no column 'prompt'; there are question, answer")
    assert not (tmp_path / "runs").exists(), "nothing is made before the prompts are read"


def test_a_runs_folder_that_cannot_be_written(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    with mounted(tmp_path / "read-only", "ro") as folder:
        done = heretic("run", tiny_folder, *sets, runs_dir=folder / "runs")
        refused(done, f"cannot write to the runs folder {folder / 'runs'}: Read-only file system")
    file = tmp_path / "file"
    file.write_text("")
    refused(heretic("run", tiny_folder, *sets, runs_dir=file), f"cannot write to the runs folder {file}")


def test_an_edit_file(heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path) -> None:
    edit = tmp_path / "edit.json"
    kernel = {"max_weight": 1, "max_weight_position": 2, "min_weight": 0, "min_weight_distance": 1}
    for content, said in [
        ("{", "is not valid JSON"),
        (json.dumps({"direction_index": 1}), "components must be an object"),
        (json.dumps({"components": {"attn.o_proj": {**kernel, "peak": 1}}}), "unknown key 'peak'"),
        (json.dumps({"components": {"attn.o_proj": {**kernel, "min_weight": None}}}), "min_weight must be a finite"),
        (json.dumps({"components": {"attn.q_proj": kernel}}), "the model has no component 'attn.q_proj'"),
        (json.dumps({"direction_index": 99, "components": {"attn.o_proj": kernel}}), "outside the model's layers"),
    ]:
        edit.write_text(content)
        refused(heretic("score", tiny_folder, *sets, "--edit", edit, runs_dir=None), said)
    refused(heretic("score", tiny_folder, *sets, "--edit", tmp_path / "none.json", runs_dir=None), "cannot read edit")


def test_an_export_on_a_full_disk_leaves_nothing(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    assert heretic("run", tiny_folder, *sets, "--n-trials", "1").status == 0
    with mounted(tmp_path / "small", "size=16k") as disk:
        done = heretic("export", "model", "--trial", "0", disk / "out")
        refused(done, "MB are needed and")
        # An adapter of a tiny model is smaller than its tokenizer: the disk is full in the middle of writing.
        done = heretic("export", "model", "--trial", "0", "--as", "adapter", disk / "out")
        refused(done, f"cannot write {disk / 'out'}: no space left on the disk; nothing was left behind")
        assert list(disk.iterdir()) == []
    refused(heretic("export", "model", "--trial", "7", tmp_path / "out"), "trial 7 of")
    refused(heretic("export", "model", "--trial", "0", tmp_path), "exists already")
    refused(heretic("export", "model", "--trial", "0", "--dora", tmp_path / "out"), "add --as adapter")


def test_damaged_journals(heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path) -> None:
    command = ["run", tiny_folder, *sets, "--n-trials", "2"]
    assert heretic(*command).status == 0
    (folder,) = (tmp_path / "runs").iterdir()
    for name, said in (("events.jsonl", "is damaged at line 3"), ("study.journal", "is damaged")):
        path = folder / name
        whole = path.read_bytes()
        lines = whole.split(b"\n")
        lines[2] = b'{"type": '
        path.write_bytes(b"\n".join(lines))
        done = heretic(*command)
        refused(done, said)
        assert "model" not in done.out, "said before the model is loaded"
        path.write_bytes(whole)
    assert heretic(*command).status == 0


def test_a_second_process_on_a_run_is_refused_with_the_pid_of_the_first(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    import os

    from heretic_tui.run.folder import RunFolder

    command = ["run", tiny_folder, *sets, "--n-trials", "1"]
    assert heretic(*command).status == 0
    (path,) = (tmp_path / "runs").iterdir()
    first = RunFolder(path)
    first.lock()
    refused(heretic(*command), f"is already running (process {os.getpid()})")
    first.unlock()
    assert heretic(*command).status == 0

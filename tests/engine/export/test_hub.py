"""Uploads to a Hub with the real client, through the same protocol as the real one's without xet."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heretic_tui.run.folder import find_runs
from tests.support.loopback_hub import TOKEN, Uploads, serve


@pytest.fixture
def uploads() -> Uploads:
    return Uploads()


@pytest.fixture
def hub(uploads: Uploads) -> Iterator[str]:
    with serve({}, {}, uploads) as address:
        yield address


@pytest.fixture
def runs_dir(heretic: Callable[..., Any], tiny_folder: Path, sets: list[str], tmp_path: Path) -> Path:
    runs = tmp_path / "runs"
    assert heretic("run", tiny_folder, *sets, "--n-trials", "1", "--response-prefix", "", "--seed", "1").status == 0
    return runs


def environment(hub: str, tmp_path: Path, token: str | None) -> dict[str, str]:
    variables = {**os.environ, "HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    variables["HF_HOME"] = str(tmp_path / "cache")
    return {**variables, **({"HF_TOKEN": token} if token else {})}


def export(hub: str, tmp_path: Path, runs_dir: Path, token: str | None, *more: str) -> subprocess.CompletedProcess[str]:
    run = find_runs(runs_dir)[0].name
    command = [sys.executable, "-m", "heretic_tui", "export", run, "--trial", "0", str(tmp_path / "out")]
    command += ["--hub", "me/edited", "--max-shard-size", "20KB", "--runs-dir", str(runs_dir), *more]
    return subprocess.run(
        command, env=environment(hub, tmp_path, token), capture_output=True, text=True, check=False
    )  # fmt: skip


def test_an_export_is_uploaded_whole(hub: str, uploads: Uploads, runs_dir: Path, tmp_path: Path) -> None:
    done = export(hub, tmp_path, runs_dir, TOKEN, "--private")
    assert done.returncode == 0, done.stderr
    assert f"uploaded: {hub}/me/edited" in done.stdout
    assert uploads.private == {"me/edited": True}
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert uploads.files["me/edited"] == written
    assert len(uploads.puts) > 1, "several weight files"
    everything = done.stdout + done.stderr + "".join(
        path.read_text(errors="replace") for path in runs_dir.rglob("*") if path.is_file()
    )  # fmt: skip
    assert TOKEN not in everything


@pytest.mark.parametrize("token", [None, "hf_wrong"])
def test_without_a_good_token_nothing_is_begun(
    hub: str, uploads: Uploads, runs_dir: Path, tmp_path: Path, token: str | None
) -> None:
    done = export(hub, tmp_path, runs_dir, token)
    assert done.returncode == 2
    assert "token" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert uploads.files == {}


def test_what_was_sent_before_an_interruption_is_not_sent_again(
    hub: str, uploads: Uploads, runs_dir: Path, tmp_path: Path
) -> None:
    uploads.refused_after = 2
    done = export(hub, tmp_path, runs_dir, TOKEN)
    assert done.returncode == 1
    assert "the folder is whole" in done.stderr
    assert uploads.files["me/edited"] == {}, "all or nothing is seen"
    uploads.refused_after = None
    code = (
        "import sys; from pathlib import Path; from heretic_tui.work import Work; "
        "from heretic_tui.engine.export.hub import upload; "
        f"upload(Path({str(tmp_path / 'out')!r}), 'me/edited', True, None, Work())"
    )
    again = subprocess.run([sys.executable, "-c", code], env=environment(hub, tmp_path, TOKEN), check=False)
    assert again.returncode == 0
    assert len(uploads.puts) == len(set(uploads.puts)), "no object was sent twice"
    assert set(uploads.files["me/edited"]) == {path.name for path in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize("name", ["a/b/c", "me/..", "-x", "me/two--dashes", "with space"])
def test_wrong_names(heretic: Callable[..., Any], name: str, tmp_path: Path) -> None:
    done = heretic("export", "x", "--trial", "0", tmp_path / "out", f"--hub={name}")
    assert done.status == 2
    assert "is no repository name" in done.err


def test_a_hub_that_does_not_answer_is_told_of_and_given_up(uploads: Uploads, hub: str, tmp_path: Path) -> None:
    """The client itself would wait for ever, in silence."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.safetensors").write_bytes(b"weights")
    code = (
        "import sys; from pathlib import Path; from heretic_tui.engine.export import hub; "
        "from heretic_tui.control import Aborted, Control; from heretic_tui.errors import HereticError\n"
        "from heretic_tui.work import Work\n"
        "hub.TELL_AFTER, hub.PATIENCE, control = 0.1, float(sys.argv[2]), Control()\n"
        "def emit(event):\n"
        "    text = str(event.to_json().get('text'))\n"
        "    print(text, flush=True)\n"
        "    if sys.argv[3] in text: control.abort()\n"
        "try: hub.upload(Path(sys.argv[1]), 'me/edited', True, None, Work(emit, control))\n"
        "except (Aborted, HereticError) as error: print(type(error).__name__, error)\n"
    )

    def upload(patience: float, abort_at: str) -> str:
        command = [sys.executable, "-c", code, str(tmp_path / "out"), str(patience), abort_at]
        done = subprocess.run(
            command, env=environment(hub, tmp_path, TOKEN), capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    uploads.silent = "PUT"
    said = upload(1000, "model.safetensors").splitlines()
    # On a slow machine an earlier answer may be waited for too.
    assert said[-2].startswith("waiting for the Hub's answer for 0 s: model.safetensors (0 MB)")
    assert said[-1].startswith("Aborted")
    uploads.silent = "POST"
    assert "HereticError the upload to me/edited broke off: no answer in time" in upload(0.3, "never said")

"""Models and datasets from a Hub, with the real client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support import tiny_models
from tests.support.loopback_hub import COMMIT, serve


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    model = tiny_models.save(tmp_path / "model")
    datasets = {}
    for name in ("good", "bad"):
        folder = tmp_path / name
        folder.mkdir()
        for split, count in (("train", 12), ("test", 6)):
            rows = [{"text": f"{name} {split} number {i}", "other": i} for i in range(count)]
            (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        datasets[f"acme/{name}"] = folder
    with serve({"acme/tiny": model}, datasets) as address:
        yield address


def heretic(hub: str, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "heretic_tui", *arguments, "--runs-dir", str(tmp_path / "runs")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


SETS = [
    "--good-prompts", "acme/good", "--good-prompts.split", "train[:10]",
    "--bad-prompts", "acme/bad", "--bad-prompts.split", "train[:10]",
    "--good-evaluation-prompts", "acme/good", "--good-evaluation-prompts.split", "test",
    "--bad-evaluation-prompts", "acme/bad", "--bad-evaluation-prompts.split", "test[:4]",
]  # fmt: skip


def test_a_run_from_the_hub(hub: str, tmp_path: Path) -> None:
    done = heretic(
        hub, tmp_path, "run", "acme/tiny", *SETS, "--n-trials", "1", "--batch-size", "4", "--max-response-length", "4",
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1].get("outcome") == "done", events[-1]
    assert events[0]["run"].startswith("tiny-")
    assert next(event for event in events if event["type"] == "trial_finished")["prompts"] == 4
    run = events[0]["run"]
    out = tmp_path / "out"
    exported = heretic(hub, tmp_path, "export", run, "--trial", "0", str(out))
    assert exported.returncode == 0, exported.stderr
    record = json.loads((out / "reproduce.json").read_text())
    assert record["model"] == "acme/tiny"
    assert record["model_commit"] == COMMIT
    assert "base_model: acme/tiny" in (out / "README.md").read_text()


def test_a_plan_needs_no_weights(hub: str, tmp_path: Path) -> None:
    done = heretic(hub, tmp_path, "plan", "acme/tiny", *SETS, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["memory"]["fits"] is True
    assert told["gpus"]["in_16_bits"] == 1
    assert [each.rpartition(" of ")[0] for each in told["download"]] == ["weights", ""], "and the data sets"
    assert told["to_fix"] == []
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    done = heretic(hub, tmp_path, "plan", "acme/nothing", *SETS)
    assert done.returncode == 0
    assert "acme/nothing was not found" in done.stderr
    assert "memory   not known; " in done.stdout


def test_a_model_in_the_older_format_is_downloaded_before_it_is_loaded(hub: str, tmp_path: Path) -> None:
    model = tmp_path / "model"
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    # Loading would fetch it too, in silence; so only what comes before is looked at.
    code = (
        "from heretic_tui.work import Work; from heretic_tui.engine.checkpoint.source import download; "
        "from heretic_tui.settings.sources import load_settings; "
        "download(load_settings({'model': 'acme/tiny'}, environment=False), Work(print))"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert len(list((tmp_path / "cache").rglob("snapshots/*/pytorch_model.bin"))) == 1
    assert "stage='download, MB'" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["acme/nothing", *SETS], "acme/nothing was not found"),
        (["acme/tiny", *SETS, "--bad-prompts", "acme/none"], "acme/none: no such file, and no such dataset"),
        (["acme/tiny", *SETS, "--bad-prompts.column", "prompt"], "no column 'prompt'; there are text, other"),
        (["acme/tiny", *SETS, "--bad-prompts.split", "valid"], 'valid'),
    ],
)  # fmt: skip
def test_what_the_hub_does_not_hold(hub: str, tmp_path: Path, arguments: list[str], said: str) -> None:
    done = heretic(hub, tmp_path, "run", *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1

"""Fixtures: tiny models, the command line in this process, a finished run of the demo, and the lab model if there is
one."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from heretic_tui.work import Work
from tests.support.commands import DemoRun, Ended

# Nothing in the tests may ask the network, and no setting of the person who runs them may leak in.
os.environ["HF_HUB_OFFLINE"] = "1"
# Nor may they write where that person's runs, places and logs of failures are.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="heretic-tui-state-")
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="heretic-tui-config-")
for home in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
    atexit.register(shutil.rmtree, os.environ[home], ignore_errors=True)
# Before torch is imported here, or in a process of a test: beside other work on few cores OpenMP's threads would spin
# for the time slice of whichever of them is not being run (measured: 2 trials of the demo in 150 s, not 25 in 52).
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The same examples each time: luck does not decide what lands. `--hypothesis-profile default` looks for new ones.
hypothesis.settings.load_profile("ci")
for name in [key for key in os.environ if key.startswith("HERETIC_TUI_")]:
    del os.environ[name]


@pytest.fixture
def make_model() -> Callable[..., object]:
    """Builds a ChatModel around a tiny random network, on the device that HERETIC_TEST_DEVICE names, or the CPU."""
    from heretic_tui.engine.model.chat_model import ChatModel
    from tests.support import tiny_models

    def make(kind: str = "llama", batch_size: int = 8, **options: Any) -> ChatModel:
        network = options.pop("network", None) or tiny_models.network(kind, **options)
        network = network.to(os.environ.get("HERETIC_TEST_DEVICE", "cpu"))
        model = ChatModel(network, tiny_models.tokenizer(), Work())
        model.batch_size = batch_size
        return model

    return make


@pytest.fixture
def heretic(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Ended]:
    """Runs one command line in this process, with its runs in the test's own folder."""
    from heretic_tui.cli.main import run_command

    def call(*arguments: object, runs_dir: Path | None = tmp_path / "runs") -> Ended:
        where = ["--runs-dir", str(runs_dir)] if runs_dir else []
        capfd.readouterr()
        status = run_command([*map(str, arguments), *where])
        return Ended(status, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a random network."""
    from tests.support import tiny_models

    return tiny_models.save(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags that name four small prompt sets."""
    folder = tmp_path_factory.mktemp("sets")
    flags = []
    for setting, count in {
        "good-prompts": 12,
        "bad-prompts": 12,
        "good-evaluation-prompts": 6,
        "bad-evaluation-prompts": 6,
    }.items():
        path = folder / f"{setting}.txt"
        path.write_text("".join(f"{setting} number {i}\n" for i in range(count)), encoding="utf-8")
        flags += [f"--{setting}", str(path)]
    return [*flags, "--max-response-length", "6", "--batch-size", "4"]


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """`heretic-tui demo` as a person types it, once for all tests that look at its results, whichever of xdist's
    processes they are in."""
    import fcntl

    base = tmp_path_factory.getbasetemp()
    # Each of xdist's processes has a folder of its own in that of all.
    runs_dir = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "demo"
    runs_dir.mkdir(exist_ok=True)
    with open(runs_dir.parent / "demo made", "a+", encoding="utf-8") as made:
        fcntl.flock(made, fcntl.LOCK_EX)
        # Not where it stood when it was opened: another process may have written it since.
        if not os.fstat(made.fileno()).st_size:
            command = [sys.executable, "-m", "heretic_tui", "demo", "--seed", "0", "--runs-dir", str(runs_dir)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            made.write("whole")
    (record,) = runs_dir.glob("*/run.json")
    return DemoRun(runs_dir, record.parent)


@pytest.fixture
def run(demo_run: DemoRun, tmp_path: Path) -> Path:
    """A copy of the demo's run that a test may change, in the folder of runs that `heretic` uses."""
    return Path(shutil.copytree(demo_run.folder, tmp_path / "runs" / demo_run.folder.name))


@pytest.fixture(scope="session")
def lab_model() -> Path:
    folder = os.environ.get("HERETIC_LAB_MODEL")
    if not folder:
        pytest.skip("HERETIC_LAB_MODEL names no folder")
    return Path(folder)

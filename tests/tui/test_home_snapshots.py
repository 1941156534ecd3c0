"""Home as a picture, at three sizes, light, in 16 colours and in ASCII: runs in every state, a queue, two GPUs.
`pytest tests/tui/test_home_snapshots.py --snapshot-update` draws them again; look at each one then."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from heretic_tui import events as ev
from heretic_tui.machine import Gpu, Machine, MachineSample
from heretic_tui.run.annotations import Annotations, Mark, Note
from heretic_tui.run.queue import QueueFile
from heretic_tui.settings.form import SettingsForm
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.app import HereticApp
from tests.support import fake_run
from tests.support.journals import opened
from tests.support.runs import DONE, make_run
from tests.support.screens import drawn

SIZES = {"80x24": (80, 24), "120x40": (120, 40), "200x50": (200, 50)}
GPU = Gpu(index=0, name="NVIDIA H100 80GB HBM3", busy=87, used=41_200_000_000, total=80_000_000_000, temperature=61,
          power=612.0, power_limit=700)  # fmt: skip


class Busy(Machine):
    """A machine with two GPUs, of which one has been at work for five minutes."""

    def __init__(self) -> None:
        super().__init__()
        for step in range(150):
            busy = 55 + 40 * math.sin(step / 9) if step > 10 else 0.0
            gpus = (replace(GPU, busy=busy if step < 149 else 87), replace(GPU, index=1, busy=0, used=400_000_000))
            sample = MachineSample(
                time=math.inf, host="gpu-03", load=3.1, cores=16, used=22_000_000_000, total=128_000_000_000, gpus=gpus
            )
            self._seen.append(sample)

    def start(self) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.setenv("TEXTUAL_COLOR_SYSTEM", "truecolor")
    # What differs from machine to machine.
    monkeypatch.setattr("heretic_tui.tui.screens.home.Machine", Busy)
    monkeypatch.setattr("heretic_tui.tui.screens.home.disk_free", lambda path: 412_000_000_000)
    search = [*fake_run.preparation(200), *(event for number in range(87) for event in fake_run.trial(number))]
    live = make_run(tmp_path / "Qwen3-4B-Instruct-2507", search)
    Annotations(live).say(*(Mark(trial=number, on=True) for number in (41, 73)))
    Annotations(live).say(Note(trial=41, note="keeps style"), Note(trial=73, note="mildest that is ok"))
    done = make_run(
        tmp_path / "Llama-3.1-8B-Instruct", [*fake_run.story(60, running=False), DONE[0], replace(DONE[1], time=4e8)]
    )
    Annotations(done).say(Mark(trial=3, on=True))
    stopped = [*fake_run.preparation(200), *(event for number in range(41) for event in fake_run.trial(number))]
    make_run(tmp_path / "gemma-3-12b-it", [*stopped, ev.RunEnded(outcome="interrupted", time=3e8)])
    failed = ev.RunEnded(outcome="failed", reason="CUDA out of memory: tried to allocate 2.3 GiB", time=2e8)
    make_run(tmp_path / "Mistral-Small-24B", [opened(200), failed])
    for model in ("Qwen/Qwen3-14B", "allenai/OLMo-2-13B"):
        QueueFile(tmp_path).add({"model": model, "n_trials": 200})
    live.lock()
    yield tmp_path
    live.unlock()


def home(folder: Path, **options: Any) -> HereticApp:
    form = SettingsForm({"runs_dir": str(folder)})
    app = HereticApp(form, lambda settings: fake_run.FakeHost(), opens="home", timed=False, strict=True, **options)
    return app


async def arrive(pilot: Pilot[Any], theme: str) -> None:
    app: Any = pilot.app
    app.theme = theme
    for _ in range(3):
        app.tick()
        await app.workers.wait_for_complete()
        await pilot.pause()
    app.screen.paint_all()
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
def test_home(folder: Path, snap_compare: Any, size: str) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await arrive(pilot, "heretic-dark")

    assert snap_compare(home(folder), terminal_size=SIZES[size], run_before=before)


@pytest.mark.parametrize("theme", ["heretic-light", "heretic-ansi"])
def test_home_in_other_colours(folder: Path, snap_compare: Any, theme: str) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await arrive(pilot, theme)

    assert snap_compare(home(folder), terminal_size=(120, 40), run_before=before)


def test_home_in_ascii(folder: Path, snap_compare: Any) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await arrive(pilot, "heretic-dark")
        text = drawn(pilot.app)
        assert text.isascii(), {c for c in text if not c.isascii()}

    assert snap_compare(home(folder, interface=Interface(ascii=True)), terminal_size=(120, 40), run_before=before)

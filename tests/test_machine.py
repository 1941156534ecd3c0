"""What is seen of the machine: this one, one with GPUs, and one whose driver goes away."""

from __future__ import annotations

import itertools
import shutil
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import psutil
import pynvml
import pytest

from heretic_tui.machine import HISTORY, Looker, Machine, MachineSample, disk_free


def test_this_machine_is_as_the_system_says() -> None:
    sample = Looker().look()
    assert sample.total == psutil.virtual_memory().total
    assert 0 < sample.used <= sample.total
    assert sample.cores >= 1
    assert sample.host
    assert sample.problem is None


class Driver(ModuleType):
    """Stands in for the library of a driver, with the errors of the real one: there is no GPU here."""

    def __init__(self) -> None:
        super().__init__("pynvml")
        for name in dir(pynvml):
            if name.startswith(("NVMLError", "NVML_")):
                setattr(self, name, getattr(pynvml, name))
        self.gone = False
        self.missing = False
        self.inits = 0

    def nvmlInit(self) -> None:
        self.inits += 1
        if self.missing:
            raise pynvml.NVMLError_LibraryNotFound(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    def nvmlShutdown(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if self.gone:
            raise pynvml.NVMLError_GpuIsLost(pynvml.NVML_ERROR_GPU_IS_LOST)
        return index

    def nvmlDeviceGetName(self, handle: int) -> object:
        return b"H100" if handle else "H100"

    def nvmlDeviceGetUUID(self, handle: int) -> object:
        return b"GPU-1" if handle else "GPU-0"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> object:
        return SimpleNamespace(used=41_200_000_000, total=80_000_000_000)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> object:
        if handle:
            raise pynvml.NVMLError_NotSupported(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=87)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        return 61

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return 312_500

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:
        return 700_000


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    return driver


def test_gpus_are_told_with_what_their_driver_knows_of_each(driver: Driver) -> None:
    sample = Looker().look()
    first, second = sample.gpus
    assert (first.index, first.name, first.busy) == (0, "H100", 87)
    assert (first.used, first.total) == (41_200_000_000, 80_000_000_000)
    assert (first.temperature, first.power, first.power_limit) == (61, 312.5, 700)
    assert (second.name, second.busy) == ("H100", None)
    assert (first.uuid, second.uuid) == ("GPU-0", "GPU-1")


def test_a_driver_that_goes_away_is_a_line_and_is_asked_again_later(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    looker = Looker()
    assert len(looker.look().gpus) == 2
    driver.gone = True
    lost = [looker.look() for _ in range(3)]
    assert {(sample.gpus, sample.problem) for sample in lost} == {
        ((), "the NVIDIA driver does not answer (GPU is lost)")
    }
    assert driver.inits == 1, "not at every look"
    driver.gone = False
    now = time.monotonic()
    monkeypatch.setattr("heretic_tui.machine.time.monotonic", lambda: now + 60)
    sample = looker.look()
    assert (len(sample.gpus), sample.problem) == (2, None)


def test_a_machine_without_the_driver_has_no_gpus_and_no_problem(driver: Driver) -> None:
    driver.missing = True
    looker = Looker()
    assert [(looker.look().gpus, looker.look().problem) for _ in range(2)] == [((), None)] * 2
    assert driver.inits == 1


def test_the_history_is_that_of_the_last_ten_minutes() -> None:
    sample, ended = Looker().look(), threading.Event()
    left = list(range(12))

    def look() -> MachineSample:
        number = left.pop(0)
        if not left:
            machine.stop()
            ended.set()
        return replace(sample, used=number)

    machine = Machine(look, step=HISTORY / 5)
    assert machine.latest is None
    for _ in range(12):
        machine.look_now()
    assert ended.is_set()
    assert [seen.used for seen in machine.history] == [7, 8, 9, 10, 11]
    assert machine.latest == machine.history[-1]


def test_the_machine_is_watched_on_a_thread_until_that_is_stopped() -> None:
    sample, thrice, count = Looker().look(), threading.Event(), itertools.count(1)

    def look() -> MachineSample:
        if next(count) == 3:
            thrice.set()
        return sample

    machine = Machine(look, step=0.001)
    machine.start()
    machine.start()
    assert thrice.wait(60)
    machine.stop()
    machine.join()
    assert len(machine.history) == next(count) - 1, "by one thread, and no more after its end"


def test_the_disk_is_that_of_the_nearest_folder_that_is_there(tmp_path: Path) -> None:
    free = disk_free(tmp_path / "not" / "yet" / "made")
    assert free is not None
    assert 0 < free <= shutil.disk_usage(tmp_path).total

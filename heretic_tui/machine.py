"""What this machine has and does at this moment, and did in the last ten minutes: processors, memory, GPUs, disk.

psutil and the NVIDIA driver's library are loaded when they are first asked, on the thread that asks them."""

from __future__ import annotations

import os
import platform
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")

# Seconds between two looks, and how far back the history goes.
STEP = 2.0
HISTORY = 600.0
# A driver that has gone away is asked again after so many seconds.
_ASK_AGAIN = 30.0


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU. What its driver does not tell is None.

    Attributes:
        busy: percent of the time in which a kernel ran.
        used, total: bytes of its memory.
        temperature: degrees Celsius.
        power, power_limit: watts.
        uuid: its name among all GPUs.
    """

    index: int
    name: str
    uuid: str | None = None
    busy: float | None = None
    used: int | None = None
    total: int | None = None
    temperature: float | None = None
    power: float | None = None
    power_limit: float | None = None


@dataclass(frozen=True, kw_only=True)
class MachineSample:
    """One look at the machine.

    Attributes:
        time: when it was, on the monotonic clock.
        load: processes that ran or wanted to, in the mean of the last minute; None where the system does not tell.
        cores: processors that this process may use.
        used, total: bytes of memory.
        problem: why nothing is known of the GPUs of a machine that has some; None otherwise.
    """

    time: float
    host: str
    load: float | None
    cores: int
    used: int
    total: int
    gpus: tuple[Gpu, ...] = ()
    problem: str | None = None


class Machine:
    """Looks at the machine every `STEP` seconds on a thread of its own; what it saw can be read at any time, and
    reading it never waits. A driver that does not answer holds up the thread alone: the age of `latest` shows it.

    Args:
        look: takes one look; that of a `Looker` where it is not given.
        step: seconds between two looks.
    """

    def __init__(self, look: Callable[[], MachineSample] | None = None, step: float = STEP) -> None:
        self._look = look or Looker().look
        self._step = step
        self._seen: deque[MachineSample] = deque(maxlen=round(HISTORY / step))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def latest(self) -> MachineSample | None:
        """None before the first look has ended."""
        return self._seen[-1] if self._seen else None

    @property
    def history(self) -> Sequence[MachineSample]:
        """What was seen in the last `HISTORY` seconds, the oldest first."""
        return tuple(self._seen)

    def start(self) -> None:
        """Begin to look; does nothing where it looks already."""
        if self._thread is None or self._stop.is_set():
            self._stop = threading.Event()
            self._thread = threading.Thread(target=partial(self._watch, self._stop), name="machine", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no more; does not wait for a look that is being taken."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the look that is being taken, after `stop`."""
        if self._thread:
            self._thread.join()

    def look_now(self) -> None:
        """Take a look, on the thread that calls."""
        self._seen.append(self._look())

    def _watch(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.look_now()
            stop.wait(self._step)


class Looker:
    """Takes looks, and remembers how to reach the driver."""

    def __init__(self) -> None:
        self._nvml: ModuleType | None = None
        self._problem: str | None = None
        self._ask_again_at = 0.0

    def look(self) -> MachineSample:
        import psutil

        memory = psutil.virtual_memory()
        gpus = self._gpus()
        return MachineSample(
            time=time.monotonic(),
            host=os.uname().nodename if hasattr(os, "uname") else "",
            load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            cores=processors(),
            used=memory.total - memory.available,
            total=memory.total,
            gpus=gpus,
            problem=self._problem,
        )

    def _gpus(self) -> tuple[Gpu, ...]:
        try:
            if (nvml := self._library()) is None:
                return ()
            return tuple(_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
        except Exception as error:  # noqa: BLE001 - a driver that fails in whatever way is a line of the screen
            self._give_up(f"the NVIDIA driver does not answer ({_flat(error)})")
            return ()

    def _library(self) -> ModuleType | None:
        """The driver's library, ready to be asked; None where there is none, or not now."""
        if self._nvml is None and time.monotonic() >= self._ask_again_at:
            import pynvml

            try:
                pynvml.nvmlInit()
            except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
                # A machine without such a GPU.
                self._ask_again_at = float("inf")
                return None
            self._nvml, self._problem = pynvml, None
        return self._nvml

    def _give_up(self, problem: str) -> None:
        nvml, self._nvml = self._nvml, None
        self._problem, self._ask_again_at = problem, time.monotonic() + _ASK_AGAIN
        if nvml:
            # Why it does not answer is told already.
            with suppress(Exception):
                nvml.nvmlShutdown()


def _gpu(nvml: ModuleType, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = _or_none(lambda: nvml.nvmlDeviceGetMemoryInfo(handle), nvml)
    busy = _or_none(lambda: float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu), nvml)
    return Gpu(
        index=index,
        name=_text(nvml.nvmlDeviceGetName(handle)),
        uuid=_or_none(lambda: _text(nvml.nvmlDeviceGetUUID(handle)), nvml),
        busy=busy,
        used=int(memory.used) if memory else None,
        total=int(memory.total) if memory else None,
        temperature=_or_none(lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)), nvml),
        power=_or_none(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000, nvml),
        power_limit=_or_none(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000, nvml),
    )


def _or_none(ask: Callable[[], T], nvml: ModuleType) -> T | None:
    """What one kind of GPU tells and another does not (a part of one, under MIG, has no figure of its own)."""
    try:
        return ask()
    except nvml.NVMLError as error:
        if isinstance(error, nvml.NVMLError_GpuIsLost | nvml.NVMLError_Uninitialized):
            raise
        return None


def _text(name: object) -> str:
    # Older versions of the library give bytes.
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def _flat(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver; `cuda` is the latest version of CUDA that it knows, as (major, minor)."""

    version: str
    cuda: tuple[int, int]


def nvidia_driver() -> Driver | None:
    """The driver of this machine's GPUs; None where there is none, or it does not answer."""
    import pynvml

    try:
        pynvml.nvmlInit()
        number = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        return Driver(_text(pynvml.nvmlSystemGetDriverVersion()), (number // 1000, number % 1000 // 10))
    except pynvml.NVMLError:
        return None


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_name() -> str:
    """The model of the processor, as far as the system tells."""
    # Where Linux tells it; elsewhere it is asked through the standard library, which there knows the family alone.
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        if found := next((line for line in lines if line.startswith("model name")), None):
            return found.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def disk_free(path: str | Path) -> int | None:
    """Bytes that are free where a path lies, or will lie once it is made; None where that cannot be told."""
    for place in (Path(path), *Path(path).absolute().parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None

"""How hard a worker's device works, and how hot it is."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil
import torch

from heretic_tui.machine import Gpu, Machine

# Seconds over which the work of processors is averaged.
_EVERY = 2.0


@dataclass(frozen=True)
class Reading:
    """What is not known is None.

    Attributes:
        load: percent.
        temperature: degrees Celsius.
    """

    load: float | None = None
    temperature: float | None = None


class Burden:
    """Looks at the GPUs that this process uses, by NVIDIA's library; where it uses none, at the processors.

    A driver that does not answer holds up a thread alone."""

    def __init__(self) -> None:
        self._machine: Machine | None = None
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._latest, self._looked = Reading(), time.monotonic()

    def now(self) -> Reading:
        """What was seen last. Takes no time."""
        if torch.cuda.is_available():
            if self._machine is None:
                self._machine = Machine()
                self._machine.start()
            latest = self._machine.latest
            return of_gpus([gpu for gpu in latest.gpus if gpu.uuid in _uuids()] if latest else [])
        if time.monotonic() - self._looked >= _EVERY:
            # Of one processor, and it computes with as many threads.
            used = self._process.cpu_percent() / torch.get_num_threads()
            self._latest, self._looked = Reading(load=round(min(100.0, used))), time.monotonic()
        return self._latest


def of_gpus(gpus: list[Gpu]) -> Reading:
    """Of several GPUs the mean load, and the temperature of the hottest."""
    loads = [gpu.busy for gpu in gpus if gpu.busy is not None]
    temperatures = [gpu.temperature for gpu in gpus if gpu.temperature is not None]
    return Reading(sum(loads) / len(loads) if loads else None, max(temperatures, default=None))


def _uuids() -> set[str]:
    """Of the GPUs that are visible to this process, as NVIDIA's library has them: their numbers may be others there."""
    return {f"GPU-{torch.cuda.get_device_properties(index).uuid}" for index in range(torch.cuda.device_count())}

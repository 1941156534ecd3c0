"""What torch, the driver and the GPUs tell together."""

from __future__ import annotations

from typing import Any

import pytest

from heretic_tui.doctor.apart import Failed, ask
from heretic_tui.doctor.devices import look_at_torch, memory_findings, torch_findings
from heretic_tui.machine import Driver, Gpu, MachineSample

H100 = Gpu(index=0, name="NVIDIA H100", used=10**9, total=80 * 10**9)
DRIVER = Driver("570.86", (12, 8))


def facts(**more: object) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "version": "2.13.0", "cuda": "12.8", "hip": None, "available": False, "devices": [], "lacking": [],
        "mps": False, "threads": 2, "problem": None, "bfloat16": True,
    }  # fmt: skip
    return {**plain, **more}


@pytest.mark.parametrize(
    ("told", "gpus", "visible", "state", "said"),
    [
        ({"cuda": None}, [], None, "ok", "2.13.0; no GPU: computes on the CPU (2 threads)"),
        ({"available": True, "devices": ["NVIDIA H100"] * 2}, [H100, H100], None, "ok", "2 × NVIDIA H100"),
        ({"cuda": None}, [H100], None, "fix", "is a build without CUDA, and there is NVIDIA H100 (driver 570.86"),
        ({"cuda": "13.0"}, [H100], None, "fix", "is built for CUDA 13.0, and the driver 570.86 knows up to 12.8"),
        # Within one generation a newer build runs with an older driver: something else is wrong.
        ({"cuda": "12.9"}, [H100], None, "fix", "does not reach NVIDIA H100"),
        ({}, [H100], "", "note", "CUDA_VISIBLE_DEVICES hides NVIDIA H100"),
        ({}, [H100], "1", "fix", "does not reach NVIDIA H100"),
        ({"available": True, "devices": ["Old"], "lacking": ["Old"]}, [H100], None, "fix", "has no code for Old"),
        ({"available": True, "devices": ["T4"], "bfloat16": False}, [H100], None, "note", "without bfloat16"),
        ({"problem": "no kernel image"}, [], None, "fix", "cannot compute here (no kernel image)"),
    ],
)
def test_builds_and_drivers(told: dict[str, Any], gpus: list[Gpu], visible: str | None, state: str, said: str) -> None:
    (found,) = torch_findings(facts(**told), gpus, DRIVER if gpus else None, None, visible)
    assert found.state == state
    assert said in found.said
    assert found.todo or found.state == "ok"


def test_a_driver_that_does_not_answer() -> None:
    (found,) = torch_findings(facts(), [], None, "the NVIDIA driver does not answer (mismatch)", None)
    assert found.state == "fix"


def test_torch_as_it_is_here() -> None:
    (found,) = look_at_torch()
    assert found.state in ("ok", "note")


def test_what_ends_the_process_is_one_line() -> None:
    with pytest.raises(Failed, match="No module named"):
        ask("heretic_tui.no_such_module", 20)
    with pytest.raises(Failed, match="no answer within 0 s"):
        ask("http.server", 0.1)


def test_memory_that_others_use_is_told() -> None:
    used = Gpu(index=1, name="NVIDIA H100", used=60 * 10**9, total=80 * 10**9)
    sample = MachineSample(time=0, host="", load=1.0, cores=2, used=10**9, total=24 * 10**9, gpus=(H100, used))
    memory, free, taken = memory_findings(sample)
    assert (memory.state, free.state, taken.state) == ("ok", "ok", "note")
    assert taken.line().startswith("note  GPU 1            NVIDIA H100, 20 GB free of 80 GB")

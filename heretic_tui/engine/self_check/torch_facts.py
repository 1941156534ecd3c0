"""What torch is, and the devices that it can compute on: printed as JSON, by a process of its own, since a build that
does not fit the driver may end the process or never answer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import torch

from heretic_tui.errors import one_line


@dataclass(frozen=True, kw_only=True)
class TorchFacts:
    """
    Attributes:
        cuda, hip: versions that the build is for; None for a build without.
        available: whether torch reaches a GPU.
        devices: names of the GPUs that it reaches.
        lacking: GPUs that the build has no code for, with their compute capability.
        mps: whether there is a GPU of Apple's.
        threads: of the CPU.
        problem: why a small product could not be computed on the first device; None where it could.
        bfloat16: whether that device computes in bfloat16.
    """

    version: str
    cuda: str | None
    hip: str | None
    available: bool
    devices: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    mps: bool = False
    threads: int = 1
    problem: str | None = None
    bfloat16: bool = True


def torch_facts() -> TorchFacts:
    """What torch tells, after a small product on the first device."""
    available = torch.cuda.is_available()
    problem, bfloat16 = None, True
    names: list[str] = []
    lacking: list[str] = []
    mps = torch.backends.mps.is_available()
    device = "cuda" if available else "mps" if mps else "cpu"
    try:
        if available:
            names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
            lacking = [name for index, name in enumerate(names) if torch.version.cuda and not _has_code(index)]
            bfloat16 = torch.cuda.is_bf16_supported()
        square = torch.ones(8, 8, device=device)
        if float((square @ square).sum()) != 8.0**3:
            problem = "a product of two small matrices is wrong"
    except Exception as error:  # noqa: BLE001 - whatever a driver does not take is what is asked for
        problem = one_line(error)
    return TorchFacts(
        version=torch.__version__,
        cuda=torch.version.cuda,
        hip=torch.version.hip,
        available=available,
        devices=tuple(names),
        lacking=tuple(lacking),
        mps=mps,
        threads=torch.get_num_threads(),
        problem=problem,
        bfloat16=bfloat16,
    )


def _has_code(index: int) -> bool:
    """Whether the build has code for a GPU: that of its own generation, or what can be compiled for it."""
    major, minor = torch.cuda.get_device_capability(index)
    for name in torch.cuda.get_arch_list():
        kind, _, number = name.partition("_")
        digits = "".join(filter(str.isdigit, number))
        built = int(digits[:-1] or 0), int(digits[-1:] or 0)
        if (kind == "sm" and built[0] == major and built[1] <= minor) or (
            kind == "compute" and built <= (major, minor)
        ):
            return True
    return False


if __name__ == "__main__":
    print(json.dumps(asdict(torch_facts())))

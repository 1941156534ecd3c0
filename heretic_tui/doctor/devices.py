"""What computes: torch beside the driver and the GPUs that there are, bitsandbytes, memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from heretic_tui.doctor.apart import Failed, ask
from heretic_tui.doctor.probe import Finding
from heretic_tui.machine import Driver, Gpu, Looker, MachineSample, nvidia_driver
from heretic_tui.words import counted, size_words

# torch takes seconds to be imported, and longer from a disk that it was never read from.
PATIENCE = 60.0
_TORCH, _FEW_BITS = "heretic_tui.engine.self_check.torch_facts", "heretic_tui.engine.self_check.few_bits"
_INSTALL = "https://pytorch.org/get-started/locally"
# Of a GPU so much is taken before a model is loaded where nobody else uses it.
_TAKEN = 0.2
_LITTLE = 2e9


def look_at_torch() -> list[Finding]:
    """torch, the driver, and whether the two fit the GPUs that there are."""
    sample = Looker().look()
    try:
        facts = ask(_TORCH, PATIENCE)
    except Failed as failed:
        return [Finding(name="torch", state="fix", said=str(failed), todo=f"install torch again: {_INSTALL}")]
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    return torch_findings(facts, sample.gpus, nvidia_driver() if sample.gpus else None, sample.problem, hidden)


def torch_findings(
    facts: Mapping[str, object],
    gpus: Sequence[Gpu],
    driver: Driver | None,
    problem: str | None,
    visible: str | None,
) -> list[Finding]:
    """What follows from what torch and the driver tell.

    Args:
        facts: as `engine/self_check/torch_facts.py` prints them.
        gpus: those that the driver knows.
        problem: why the driver tells nothing.
        visible: the variable CUDA_VISIBLE_DEVICES; None where it is not set.
    """
    version, cuda = facts["version"], facts["cuda"]
    names = facts["devices"] if isinstance(facts["devices"], list) else []
    known = f"driver {driver.version}, CUDA {driver.cuda[0]}.{driver.cuda[1]}" if driver else "no driver"
    found: Finding | None = None
    if facts["available"]:
        for_what = f"CUDA {cuda}" if cuda else f"ROCm {facts['hip']}"
        found = Finding(name="torch", state="ok", said=f"{version} for {for_what} ({known}): {_counted_names(names)}")
        if lacking := facts["lacking"]:
            said = f"{version} has no code for {', '.join(map(str, lacking))}" if isinstance(lacking, list) else ""
            found = Finding(name="torch", state="fix", said=said, todo=f"install a build that has: {_INSTALL}")
        elif not facts["bfloat16"]:
            found = Finding(name="torch", state="note", said=f"{found.said}, without bfloat16", todo="--dtypes float16")
    elif gpus and visible is not None and visible.strip() in ("", "-1"):
        said = f"{version}; CUDA_VISIBLE_DEVICES hides {_counted_names([gpu.name for gpu in gpus])}"
        found = Finding(name="torch", state="note", said=said, todo="unset it to compute on the GPU")
    elif gpus and not cuda:
        said = f"{version} is a build without CUDA, and there is {_counted_names([gpu.name for gpu in gpus])} ({known})"
        found = Finding(name="torch", state="fix", said=said, todo=f"install a build for the driver: {_INSTALL}")
    elif gpus and driver and _version(str(cuda)) > driver.cuda:
        said = f"{version} is built for CUDA {cuda}, and the driver {driver.version} knows up to {known.split()[-1]}"
        found = Finding(
            name="torch", state="fix", said=said, todo=f"a newer driver, or a build for an older CUDA: {_INSTALL}"
        )
    elif gpus:
        said = f"{version} for CUDA {cuda} does not reach {_counted_names([gpu.name for gpu in gpus])} ({known})"
        todo = "look at nvidia-smi; in a container: --gpus all"
        found = Finding(name="torch", state="fix", said=said, todo=todo)
    elif problem:
        found = Finding(name="torch", state="fix", said=f"{version}; {problem}", todo="look at nvidia-smi")
    elif facts["mps"]:
        found = Finding(name="torch", state="ok", said=f"{version}, on the GPU of this Mac")
    else:
        threads = facts["threads"]
        said = (
            f"{version}; no GPU: computes on the CPU ({counted(threads if isinstance(threads, int) else 1, 'thread')})"
        )
        found = Finding(name="torch", state="ok", said=said)
    if facts["problem"]:
        said = f"{version} cannot compute here ({facts['problem']})"
        return [Finding(name="torch", state="fix", said=said, todo=f"install torch again: {_INSTALL}")]
    return [found]


def _version(text: str) -> tuple[int, int]:
    # Within one generation of CUDA a newer build runs with an older driver.
    major = text.partition(".")[0]
    return int(major) if major.isdigit() else 0, 0


def _counted_names(names: Sequence[object]) -> str:
    unlike = dict.fromkeys(map(str, names))
    return f"{len(names)} × {next(iter(unlike))}" if len(unlike) == 1 and len(names) > 1 else ", ".join(unlike)


def look_at_few_bits() -> list[Finding]:
    """Whether models can be loaded in 8 and 4 bits."""
    try:
        facts = ask(_FEW_BITS, PATIENCE)
    except Failed as failed:
        said = f"does not work here ({failed}): --quantization cannot be used"
        return [Finding(name="bitsandbytes", state="note", said=said)]
    device = "the GPU" if facts["device"] == "cuda" else "the CPU"
    apart = f"off by {facts['four']:.0%} in 4 bits, by {facts['eight']:.1%} in 8 bits"
    if not facts["works"]:
        said = f"{facts['version']} multiplies wrongly on {device} ({apart})"
        return [Finding(name="bitsandbytes", state="note", said=said, todo="use another version, or no quantization")]
    said = f"{facts['version']}, products on {device} are {apart}, as they have to be"
    return [Finding(name="bitsandbytes", state="ok", said=said)]


def look_at_memory() -> list[Finding]:
    """The memory that is free, of the machine and of each GPU."""
    return memory_findings(Looker().look())


def memory_findings(sample: MachineSample) -> list[Finding]:
    """The same, of a machine that was looked at."""
    free = sample.total - sample.used
    said = f"{size_words(free)} free of {size_words(sample.total)}, {counted(sample.cores, 'processor')}"
    found = [Finding(name="memory", state="ok", said=said)]
    if free < _LITTLE:
        found = [Finding(name="memory", state="note", said=said, todo="end what else uses it")]
    for gpu in sample.gpus:
        if gpu.total is None or gpu.used is None:
            continue
        said = f"{gpu.name}, {size_words(gpu.total - gpu.used)} free of {size_words(gpu.total)}"
        if gpu.used > _TAKEN * gpu.total:
            todo = "another process uses it (nvidia-smi names it)"
            found.append(Finding(name=f"GPU {gpu.index}", state="note", said=said, todo=todo))
        else:
            found.append(Finding(name=f"GPU {gpu.index}", state="ok", said=said))
    return found

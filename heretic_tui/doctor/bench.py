"""The check of exactness and speed: which models are measured on this machine, as a table, and as a file that can be
sent along with a report: it holds no name of a person, no path and no token."""

from __future__ import annotations

import os
import platform
import re
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heretic_tui import __version__
from heretic_tui.doctor.packages import versions_here
from heretic_tui.doctor.probe import Finding
from heretic_tui.errors import HereticError, one_line
from heretic_tui.machine import MachineSample, disk_free, processor_name
from heretic_tui.records import as_json
from heretic_tui.words import bits_of, quantity, size_words
from heretic_tui.work import Work

# Seconds after which no further model is begun.
PATIENCE = 120.0
# What a model takes of memory and disk while it is measured, as a multiple of its weights.
_ROOM = 3.0
# Findings that tell of the machine and of nobody.
_TOLD = re.compile(r"Python|packages|tested with|torch|bitsandbytes|memory|GPU \d+|Ray|extra \w+")
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{4,}")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One model that is to be measured; `problem`: why it was not."""

    name: str
    quantization: str = "none"
    result: dict[str, object] = field(default_factory=dict)
    problem: str = ""

    @property
    def exact(self) -> bool:
        return bool(self.result.get("exact"))

    @property
    def failed(self) -> bool:
        """Whether it was measured, and wrongly."""
        return bool(self.result) and not self.exact


def measure(sample: MachineSample, few_bits: bool, tell: Callable[[Part], None], work: Work) -> list[Part]:
    """Measure the demo and a random model of a usual shape, whole and in 8 and 4 bits, as far as two minutes last.

    Args:
        few_bits: whether bitsandbytes works here.
        tell: called with each part as it ends.
    """
    from heretic_tui.demo.settings import MODEL
    from heretic_tui.engine.self_check.random_model import LARGE, SMALL, write_random_model

    start = time.monotonic()
    gpus = [gpu.total - gpu.used for gpu in sample.gpus if gpu.total is not None and gpu.used is not None]
    shape = LARGE if gpus else SMALL
    parts: list[Part] = []
    with tempfile.TemporaryDirectory(prefix="heretic-tui-bench-") as made:
        folder = Path(made) / "random"

        def random() -> Path:
            if not folder.exists():
                write_random_model(folder, shape)
            return folder

        memory = min([sample.total - sample.used, *gpus[:1]])
        small = shape.parameters * 2 * _ROOM > min(memory, disk_free(made) or 0)
        wanted: list[tuple[str, str, Callable[[], Path]]] = [("demo", "none", lambda: MODEL)]
        if not small:
            wanted.append((shape.name, "none", random))
        if few_bits:
            in_bits = (shape.name, random) if gpus and not small else ("demo", lambda: MODEL)
            wanted += [(in_bits[0], quantization, in_bits[1]) for quantization in ("bnb_8bit", "bnb_4bit")]
        for name, quantization, model in wanted:
            if time.monotonic() - start > PATIENCE:
                part = Part(name=name, quantization=quantization, problem="left out: the two minutes are over")
            else:
                part = _part(name, quantization, model, bool(gpus), work)
            parts.append(part)
            tell(part)
        if small:
            parts.append(Part(name=shape.name, problem="left out: too little memory or disk"))
            tell(parts[-1])
    return parts


def _part(name: str, quantization: str, model: Callable[[], Path], on_gpu: bool, work: Work) -> Part:
    from heretic_tui.demo.settings import settings_of_the_demo
    from heretic_tui.engine.self_check.bench import bench
    from heretic_tui.settings.sources import load_settings

    demo = settings_of_the_demo()
    prompts, length = (64, 40) if on_gpu or name == "demo" else (8, 8)
    sets = {key: {**value, "split": f"[:{prompts}]"} for key, value in demo.items() if isinstance(value, dict)}
    try:
        given = {
            "model": str(model()),
            "quantization": quantization,
            "dtypes": ["float32" if quantization == "none" and (name == "demo" or not on_gpu) else "bfloat16"],
            "max_response_length": length,
            **sets,
        }
        result = as_json(bench(name, load_settings(given, environment=False), work))
        return Part(name=name, quantization=quantization, result=result if isinstance(result, dict) else {})
    except HereticError as error:
        return Part(name=name, quantization=quantization, problem=without_names(str(error)))
    except (RuntimeError, OSError, ValueError) as error:
        # Of torch, transformers or bitsandbytes: what does not work here is what is asked for.
        return Part(name=name, quantization=quantization, problem=without_names(one_line(error)))


HEAD = (
    f"{'model':11} {'form':8} {'batch':>5} {'tok/s':>7} {'fast':>8} {'plain':>8} {'KL apart':>8} {'others':>7} "
    f"{'memory':>8}"
)


def row(part: Part) -> str:
    """A part as a line of the table: seconds for a trial both ways, how far the two are apart."""
    form = f"{bits_of(part.quantization)} bits" if part.quantization != "none" else str(part.result.get("dtype", ""))
    if part.problem:
        return f"{part.name:11} {form:8} {part.problem}"
    found = part.result
    number = {key: float(value) for key, value in found.items() if isinstance(value, int | float)}
    each = max(1.0, number["edits"])
    others = max(number["verdicts_apart"], number["texts_apart"])
    memory = size_words(number["memory"]) if "memory" in number else "-"
    fast = f"{number['fast_seconds'] / each:.2f} s" if found["fast"] else "-"
    return (
        f"{part.name:11} {form:8} {number['batch_size']:>5.0f} {quantity(number['tokens_per_second']):>7} {fast:>8} "
        f"{number['plain_seconds'] / each:>6.2f} s {number['kl_apart']:>8.1e} "
        f"{others:>3.0f}/{number['responses']:.0f} {memory:>8}"
        f"{'' if part.exact else '  NOT EXACT'}"
    )


def report(
    findings: Sequence[Finding], sample: MachineSample, parts: Sequence[Part], seconds: float
) -> dict[str, object]:
    """What the file holds."""
    told = [each for each in findings if _TOLD.fullmatch(each.name)]
    others = {each.name: each.state for each in findings if each not in told}
    record = {
        "format": 1,
        "version": __version__,
        "system": platform.platform(),
        "machine": {
            "processor": processor_name(),
            "cores": sample.cores,
            "memory": sample.total,
            "gpus": [gpu.name for gpu in sample.gpus],
        },
        "versions": versions_here(),
        "findings": as_json(told),
        "other_findings": others,
        "parts": as_json(list(parts)),
        "seconds": round(seconds, 1),
    }
    cleaned = _clean(record)
    assert isinstance(cleaned, dict)
    return cleaned


def _clean(value: object) -> object:
    """The same without names, paths and tokens in its texts."""
    if isinstance(value, str):
        return without_names(value)
    if isinstance(value, dict):
        return {key: _clean(each) for key, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, list) else value


def without_names(text: str) -> str:
    """A text without what tells who ran the program, and where: of paths the last part is left."""
    from heretic_tui.engine.export.record import without_paths

    text = _TOKEN.sub("hf_…", text)
    names = {os.environ.get("USER", ""), os.environ.get("LOGNAME", ""), Path.home().name, socket.gethostname()}
    text = without_paths(text)
    # The name of a user such as root is a word of its own only.
    for name in sorted(filter(None, names), key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "…", text)
    return text

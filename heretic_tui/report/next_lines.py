"""What people type next with an export: the lines for each tool that can use it, and why another cannot."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from heretic_tui.run.exports import ExportRecord

# vLLM makes room for adapters of this rank unless it is told otherwise, and takes these.
_VLLM_RANK = 16
_VLLM_RANKS = (32, 64, 128, 256, 320, 512)
_SERVING = 'pip install "transformers[serving]"'


@dataclass(frozen=True)
class NextLines:
    """The lines for one tool.

    Attributes:
        lines: to be typed one after the other; none where the tool cannot use the files.
        note: what one should know, or why it cannot.
    """

    tool: str
    lines: tuple[str, ...] = ()
    note: str = ""


def next_lines(record: ExportRecord, out: str, base: str | None = None) -> list[NextLines]:
    """The lines that are right for what was written.

    Args:
        out: the folder of the files, or their name on the Hub.
        base: where the original model lies; None: as the record names it.
    """
    if record.kind == "merged":
        return _merged(out)
    return _adapter(record, out, base or record.model)


def _merged(out: str) -> list[NextLines]:
    model, name = shlex.quote(out), _name_of(out)
    gguf = f"{name}.gguf"
    return [
        NextLines(
            "transformers",
            (f"transformers serve {model}", f"transformers chat {model}"),
            f"the second in another terminal; once: {_SERVING}",
        ),
        NextLines("vLLM", (f"vllm serve {model}",)),
        NextLines(
            "llama.cpp",
            (f"python convert_hf_to_gguf.py {model} --outfile {gguf}", f"llama-cli -m {gguf}"),
            "the first in the folder of llama.cpp",
        ),
        NextLines(
            "Ollama",
            (f"echo 'FROM ./{gguf}' > Modelfile", f"ollama create {name}", f"ollama run {name}"),
            "where llama.cpp wrote that file",
        ),
    ]


def _adapter(record: ExportRecord, out: str, base: str) -> list[NextLines]:
    files, original, name = shlex.quote(out), shlex.quote(base), _name_of(out)
    found = [
        NextLines(
            "PEFT",
            (
                "from transformers import AutoModelForCausalLM",
                "from peft import PeftModel",
                f"model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained({base!r}), {out!r})",
            ),
            "in Python",
        )
    ]
    if record.dora:
        why = "knows no DoRA: export the trial as a merged model for it"
        return [*found, *(NextLines(tool, note=why) for tool in ("vLLM", "llama.cpp", "Ollama"))]
    if record.fused_experts:
        why = "leaves out what an adapter holds of fused experts, or refuses it: export the trial as a merged model"
        return [*found, *(NextLines(tool, note=why) for tool in ("vLLM", "llama.cpp", "Ollama"))]
    rank = _rank(record)
    room = "" if rank <= _VLLM_RANK else f" --max-lora-rank {next((r for r in _VLLM_RANKS if r >= rank), rank)}"
    lora, whole = f"{name}-lora.gguf", f"{_name_of(base)}.gguf"
    return [
        *found,
        NextLines(
            "vLLM",
            (f"vllm serve {original} --enable-lora{room} --lora-modules {name}={files}",),
            f"requests name the model {name}",
        ),
        NextLines(
            "llama.cpp",
            (
                f"python convert_hf_to_gguf.py {original} --outfile {whole}",
                f"python convert_lora_to_gguf.py {files} --base {original} --outfile {lora}",
                f"llama-cli -m {whole} --lora {lora}",
            ),
            "the first two in the folder of llama.cpp",
        ),
        NextLines(
            "Ollama",
            (
                f"printf 'FROM ./{whole}\\nADAPTER ./{lora}\\n' > Modelfile",
                f"ollama create {name}",
                f"ollama run {name}",
            ),
            "where llama.cpp wrote those files",
        ),
    ]


def _rank(record: ExportRecord) -> int:
    """That of a LoRA; one that is exactly the edit is of rank 1."""
    rank = record.settings.get("full_normalization_lora_rank")
    return rank if record.approximate and isinstance(rank, int) else 1


def _name_of(place: str) -> str:
    """A name that all tools take: the last part of a path, in lower case."""
    last = place.rstrip("/").rpartition("/")[2].lower()
    return re.sub(r"[^a-z0-9._-]+", "-", last).strip("-._") or "model"


def as_lines(found: Sequence[NextLines], width: int = 13) -> list[str]:
    """All of it as lines for people: the tool at the left, what is typed at the right."""
    lines = []
    for each in found:
        texts = [*each.lines, f"({each.note})"] if each.lines and each.note else [*each.lines] or [each.note]
        lines += [f"{'' if at else each.tool:{width}}{text}" for at, text in enumerate(texts)]
    return lines

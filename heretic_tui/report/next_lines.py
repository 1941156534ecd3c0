"""What people type next with an export: the lines for each tool that can use it, and why another cannot."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heretic_tui.run.exports import ExportRecord

# vLLM makes room for adapters of this rank unless it is told otherwise, and takes these.
_VLLM_RANK = 16
_VLLM_RANKS = (32, 64, 128, 256, 320, 512)
_IN_LLAMA_CPP = "the lines with python in the folder of llama.cpp; once there: pip install -r requirements.txt"
# Columns that lines stand in below the name of their tool, and what a shell takes for one word.
_INDENT = 2
_WORD = re.compile(r"""(?:[^\s'"]|'[^']*'|"[^"]*")+""")
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


def next_lines(record: ExportRecord, out: str, base: str | None = None, *, uploaded: bool = False) -> list[NextLines]:
    """The lines that are right for what was written.

    Args:
        out: the folder of the files, or their name on the Hub.
        base: where the original model lies; None: as the record names it.
        uploaded: whether `out` is a name on the Hub.
    """
    if record.kind == "merged":
        return _merged(out, uploaded)
    return _adapter(record, out, base or record.model, uploaded)


def _merged(out: str, uploaded: bool) -> list[NextLines]:
    model, name = shlex.quote(out), _name_of(out)
    gguf, (fetched, folder) = f"{name}.gguf", _folder(out, uploaded)
    return [
        NextLines(
            "transformers",
            (f"transformers serve {model}", f"transformers chat {model}"),
            f"the second in another terminal; once: {_SERVING}",
        ),
        NextLines("vLLM", (f"vllm serve {model}",)),
        NextLines(
            "llama.cpp",
            (*fetched, f"python convert_hf_to_gguf.py {folder} --outfile {gguf}", f"llama-cli -m {gguf}"),
            _IN_LLAMA_CPP,
        ),
        NextLines(
            "Ollama",
            (f"echo 'FROM ./{gguf}' > {name}.modelfile", *_ollama(name)),
            f"where that file lies; ollama show --template {name} tells whether it knew the chat template",
        ),
    ]


def _adapter(record: ExportRecord, out: str, base: str, uploaded: bool) -> list[NextLines]:
    original, name = shlex.quote(base), _name_of(out)
    found = [
        NextLines(
            "PEFT",
            (
                "from transformers import AutoModelForCausalLM",
                "from peft import PeftModel",
                f"original = AutoModelForCausalLM.from_pretrained({base!r})",
                f"model = PeftModel.from_pretrained(original, {out!r})",
            ),
            "in Python",
        ),
        NextLines("transformers", note="serves no adapters: export the trial as a merged model for it"),
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
    of_hub = base == record.model and "model" not in record.local and not Path(base).is_absolute()
    (fetched, files), (fetched_base, base_folder) = _folder(out, uploaded), _folder(base, of_hub)
    return [
        *found,
        NextLines(
            "vLLM",
            (f"vllm serve {original} --enable-lora{room} --lora-modules {_lora_module(name, out)}",),
            f"requests name the model {name}",
        ),
        NextLines(
            "llama.cpp",
            (
                *fetched_base,
                *fetched,
                f"python convert_hf_to_gguf.py {base_folder} --outfile {whole}",
                f"python convert_lora_to_gguf.py {files} --base {base_folder} --outfile {lora}",
                f"llama-cli -m {whole} --lora {lora}",
            ),
            _IN_LLAMA_CPP,
        ),
        NextLines(
            "Ollama",
            (
                f"printf 'FROM ./{whole}\\nADAPTER ./{lora}\\n' > {name}.modelfile",
                *_ollama(name),
            ),
            f"where those files lie; ollama show --template {name} tells whether it knew the chat template",
        ),
    ]


def _folder(place: str, on_hub: bool) -> tuple[tuple[str, ...], str]:
    """For a tool that takes folders alone: the line that brings one from the Hub, and what it is called there."""
    if not on_hub:
        return (), shlex.quote(place)
    name = _name_of(place)
    return (f"hf download {shlex.quote(place)} --local-dir {name}",), name


def _ollama(name: str) -> tuple[str, ...]:
    return f"ollama create {name} -f {name}.modelfile", f"ollama run {name}"


def _lora_module(name: str, out: str) -> str:
    # vLLM takes what is no single name=path as JSON.
    if "=" in out or "," in out:
        return shlex.quote(json.dumps({"name": name, "path": out}, ensure_ascii=False))
    return f"{name}={shlex.quote(out)}"


def _rank(record: ExportRecord) -> int:
    """That of a LoRA; one that is exactly the edit has as many ranks as a layer has directions, in all rounds."""
    rank, own = record.settings.get("full_normalization_lora_rank"), record.rank
    own += sum(each.rank for each in record.rounds)
    return max(rank, own) if record.approximate and isinstance(rank, int) else own


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


def folded_lines(found: Sequence[NextLines], width: int) -> list[str]:
    """The same for a narrow pane: each tool's lines below its name. A line that is too long goes on with a backslash,
    as shells read it."""
    lines = []
    for each in found:
        shell = each.tool != "PEFT"
        lines += [each.tool] if each.lines else []
        for line in each.lines:
            lines += _folded(line, width - 2 * _INDENT) if shell else [f"{'':{_INDENT}}{line}"]
        note = f"({each.note})" if each.lines else f"{each.tool} {each.note}"
        indent = " " * (_INDENT if each.lines else 0)
        lines += textwrap.wrap(note, width, initial_indent=indent, subsequent_indent=indent) if each.note else []
    return lines


def _folded(line: str, width: int) -> list[str]:
    rows = [""]
    for word in _WORD.findall(line):
        if rows[-1] and len(rows[-1]) + len(word) + len("  \\") > width:
            rows.append("")
        rows[-1] += f" {word}" if rows[-1] else word
    marked = [f"{row} \\" for row in rows[:-1]] + rows[-1:]
    return [f"{'':{_INDENT if at == 0 else 2 * _INDENT}}{row}" for at, row in enumerate(marked)]

"""Any exception as one line that says something."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from heretic_tui.errors import LONGEST, HereticError, UsageError, one_line


class SaysNothing(Exception):
    def __str__(self) -> str:
        raise ValueError("not even this")


CUDA_ASSERT = """CUDA error: device-side assert triggered
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""
OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.10 GiB of which 12.25 MiB is "
    "free. Process 12 has 79 GiB memory in use. See documentation for Memory Management  (https://pytorch.org/x)"
)


FREE = "CUDA out of memory: tried to allocate 20.00 MiB, and 12.25 MiB is free"
SHAPES = "weights have other shapes than config.json says: files of two models are mixed, or config.json was changed"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UsageError("two\nlines"), "two lines"),
        (HereticError(""), "HereticError"),
        (ValueError(), "ValueError"),
        (SaysNothing(), "SaysNothing"),
        (KeyError("llama4x"), "KeyError: 'llama4x'"),
        (OSError(28, "No space left on device", "/x/y"), "No space left on device: /x/y"),
        (ValueError("wrapped\nby hand at 60.\n\nAnd more."), "wrapped by hand at 60."),
        (RuntimeError("Error(s) in loading:\n\n  size mismatch for a"), "Error(s) in loading: size mismatch for a"),
        (RuntimeError("404 Client Error. (Request ID: x; y)\n\nNot Found: u"), "404 Client Error. Not Found: u"),
        (torch.OutOfMemoryError(OUT_OF_MEMORY), FREE),
        (MemoryError(), "out of memory"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply (maximum recursion depth exceeded)"),
        (ValueError("cannot reach postgresql://me:secret@host/x"), "cannot reach postgresql://me:***@host/x"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "no space left on the disk"),
        (ExceptionGroup("two", [ValueError("first"), ValueError("second")]), "first"),
        (ModuleNotFoundError("No module named 'torch'"), "the package 'torch' is not installed"),
        (TimeoutError("The read operation timed out"), "no answer in time (The read operation timed out)"),
        (
            ValueError("You set `ignore_mismatched_sizes` to `False`. For details look at the above report!"),
            SHAPES,
        ),
    ],
)  # fmt: skip
def test_what_exceptions_say(error: BaseException, said: str) -> None:
    assert one_line(error) == said


def caught(function: Callable[[], Any]) -> str:
    with pytest.raises(BaseException) as error:
        function()
    return one_line(error.value)


def test_a_kernels_error_says_what_it_most_often_is() -> None:
    assert one_line(RuntimeError(CUDA_ASSERT)) == (
        "CUDA error: device-side assert triggered: a token or a position beyond a table of the model, most likely "
        "(CUDA_LAUNCH_BLOCKING=1 shows the place)"
    )


def test_a_name_alone_comes_with_its_place() -> None:
    assert caught(lambda: json.loads("{}")["layers"]).startswith("KeyError: 'layers' (in ")
    assert "test_errors.py, line " in caught(lambda: dict[str, int]()["layers"])


def test_libraries_of_today(tmp_path: Path) -> None:
    """What they really raise: the messages are theirs, and change."""
    small: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    rope = {"rope_type": "su", "rope_theta": 10000.0, "factor": 2.0}
    said = caught(lambda: LlamaForCausalLM(LlamaConfig(vocab_size=9, rope_parameters=rope, **small)))
    assert said == "the installed transformers does not know the rope type 'su' of config.json (rope_scaling)"

    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    said = caught(lambda: AutoTokenizer.from_pretrained(tmp_path))
    assert "tokenizer.json" in said
    assert not said.endswith(":")

    (tmp_path / "x.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    said = caught(lambda: safe_open(tmp_path / "x.safetensors", "pt").__enter__())
    assert said.startswith("a safetensors file is damaged or only half there")

    assert caught(lambda: torch.empty(10**15)).startswith("out of memory: 4000000000000000 bytes")
    assert caught(lambda: json.loads("[")).startswith("not valid JSON: Expecting value")
    assert caught(lambda: b"\x80".decode()) == "a file is not UTF-8 text (byte 0x80 at position 0)"


def test_long_messages_are_cut() -> None:
    for text in ("x", "?", "a://b:", "line\n"):
        assert len(one_line(ValueError(text * 100_000))) <= LONGEST
    assert len(one_line(UsageError("x" * 100_000))) <= LONGEST

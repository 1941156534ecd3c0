"""The JSON files of a model's folder: transformers reads some wrongly, some not at all, and is silent about it."""

from __future__ import annotations

from pathlib import Path

import torch

from heretic_tui.errors import UsageError
from heretic_tui.files import parse_json, read_bytes

_OBJECTS = ("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def check_json_files(folder: Path) -> None:
    """
    Raises:
        UsageError: for a file that libraries would refuse with a less clear message, or would ignore: without
            generation_config.json a model has other tokens that end its responses.
    """
    found = {name: _object(folder / name) for name in _OBJECTS if (folder / name).is_file()}
    if (path := folder / "tokenizer.json").is_file():
        with path.open("rb") as file:
            _refuse_mark(path, file.read(4))
    config = found.get("config.json", {})
    for name in ("dtype", "torch_dtype"):
        dtype = config.get(name)
        if dtype is not None and not (isinstance(dtype, str) and isinstance(getattr(torch, dtype, None), torch.dtype)):
            raise UsageError(
                f"{folder / 'config.json'} names {str(dtype)[:40]!r} as {name}, which is no dtype of torch: write "
                "float32, float16 or bfloat16, as the weights are, or take the line out"
            )
    ends = found.get("generation_config.json", {}).get("eos_token_id")
    for end in ends if isinstance(ends, list) else [] if ends is None else [ends]:
        if type(end) is not int:
            raise UsageError(
                f"{folder / 'generation_config.json'}: eos_token_id holds {str(end)[:40]!r}, which is no token's "
                "number: write the number that tokenizer.json has for it"
            )


def _object(path: Path) -> dict[str, object]:
    data = read_bytes(path)
    _refuse_mark(path, data)
    value = parse_json(data, str(path))
    if not isinstance(value, dict):
        raise UsageError(f"{path} holds no JSON object: download the model again")
    return value


def _refuse_mark(path: Path, data: bytes) -> None:
    # Python's reader of bytes takes these; those of transformers and tokenizers do not.
    if data.startswith(_MARKS):
        raise UsageError(
            f"{path} begins with a byte order mark, as some editors write it: save it as UTF-8 without one"
        )

"""What lies in a model folder, by names, sizes and the headers of its weight files: nothing here reads weights,
but those of a name that occurs in two files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import torch
from safetensors import safe_open
from torch import Tensor

from heretic_tui.errors import UsageError
from heretic_tui.files import parse_json, read_bytes, read_json

# In the order in which transformers looks for them; an index is used for the files that it names.
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_POINTER = b"version https://git-lfs"
# A pointer is a text of three lines.
_POINTER_BYTES = 1024
# As safetensors itself has it.
_HEADER_BYTES = 100_000_000
# safetensors' words, and what they are to torch.
TORCH_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn, "F8_E8M0": torch.float8_e8m0fnu,
}  # fmt: skip
# A matrix of weights in one of these is packed. (Tables and masks have other names.)
_INTEGERS = {"I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64"}
# Kinds of file beside the weights whose content ends in an export: settings, tokenizers, templates, code.
_TAKEN_OVER = frozenset({".json", ".jinja", ".txt", ".model", ".tiktoken", ".py"})
_AGAIN = "download the model again"


@dataclass(frozen=True)
class Stored:
    """A tensor as it lies in a file; `dtype` is safetensors' word for it (F32, BF16, F8_E4M3, …).

    Attributes:
        start, stop: where its bytes lie in a safetensors file, from the beginning of the file.
    """

    shape: tuple[int, ...]
    dtype: str
    file: Path
    start: int = 0
    stop: int = 0

    def empty(self) -> Tensor:
        """A tensor of its shape and kind that takes no memory, on the meta device."""
        return torch.empty(self.shape, dtype=TORCH_DTYPES.get(self.dtype, torch.uint8), device="meta")


def weight_files(folder: Path) -> list[Path]:
    """The files that a model's weights are loaded from: those of its index, or its one file. Others that lie beside
    them are no part of the model. Empty where there are none, and for a model whose config.json names a file.

    Raises:
        UsageError: for an index that cannot be read, or names files that are not there.
    """
    index = index_of(folder)
    if index is not None:
        return _of_index(index)
    path = _first_of(folder)
    return [path] if path else []


def index_of(folder: Path) -> Path | None:
    """The index that names a model's weight files; None where there is one file, or none."""
    path = _first_of(folder)
    return path if path and path.suffix == ".json" else None


def _first_of(folder: Path) -> Path | None:
    # A link to a file that is not there, as after an interrupted download, is no file.
    return next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)


def refuse_no_weights(folder: Path) -> NoReturn:
    """
    Raises:
        UsageError: for a folder in which `weight_files` finds nothing, with what lies there instead.
    """
    others = sorted(p.name for p in folder.iterdir() if p.suffix in {".safetensors", ".bin", ".gguf", ".pt", ".pth"})
    found = f", only {few(others)}" if others else ""
    hint = "; the index of its shards is missing" if any("-of-" in name for name in others) else ""
    raise UsageError(f"{folder} holds no weights: there is no model.safetensors in it{found}{hint}: {_AGAIN}")


def _of_index(path: Path) -> list[Path]:
    _refuse_pointer(path)
    record = read_json(path)
    names = record.get("weight_map") if isinstance(record, dict) else None
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise UsageError(f"{path} is no index of weights (it has no weight_map): {_AGAIN}")
    files = sorted(set(names.values()))
    if outside := [name for name in files if Path(name).name != name]:
        raise UsageError(f"{path} names a file outside the model's folder: {outside[0][:100]}")
    if missing := [name for name in files if not (path.parent / name).is_file()]:
        raise UsageError(
            f"{len(missing)} of the {len(files)} weight files that {path.name} names are not in {path.parent}, such as "
            f"{missing[0]}: the download or copy is not complete; {_AGAIN}"
        )
    return [path.parent / name for name in files]


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """Every tensor of a model's weights by name; empty where the folder holds none.

    Raises:
        UsageError: for files that are missing, cut off, no weights at all, or do not hold what the index says.
    """
    found: dict[str, Stored] = {}
    for path in weight_files(folder):
        _refuse_pointer(path)
        try:
            more = _of_safetensors(path) if path.suffix == ".safetensors" else _of_pickle(path)
            _refuse_doubled(found, more)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
        found |= more
    for name in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if found and (folder / name).is_file() and not (folder / name.removesuffix(".index.json")).is_file():
            index = read_json(folder / name)
            named = index["weight_map"] if isinstance(index, dict) else {}
            if lost := sorted(named.keys() - found.keys()):
                raise UsageError(
                    f"{few(lost)} of {name} {'is' if len(lost) == 1 else 'are'} in none of the weight files in "
                    f"{folder}: files of different versions are mixed, or one is not whole; {_AGAIN}"
                )
            break
    return found


def _refuse_doubled(found: dict[str, Stored], more: dict[str, Stored]) -> None:
    """
    Raises:
        UsageError: for tensors that lie in two files and differ: it is not known which is the model's.
    """
    doubled = sorted(found.keys() & more.keys())
    if differ := [name for name in doubled if not _same(name, found[name], more[name])]:
        files = f"{found[differ[0]].file.name} and {more[differ[0]].file.name}"
        raise UsageError(
            f"{few(differ)} {'is' if len(differ) == 1 else 'are'} in two weight files, with other values in each "
            f"({files}): files of different versions are mixed; {_AGAIN}"
        )


def _same(name: str, one: Stored, other: Stored) -> bool:
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    if {one.file.suffix, other.file.suffix} != {".safetensors"}:
        return True
    with safe_open(one.file, "pt") as first, safe_open(other.file, "pt") as second:
        return bool(torch.equal(first.get_tensor(name), second.get_tensor(name)))


def _of_safetensors(path: Path) -> dict[str, Stored]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        # What does not begin with a length is no safetensors file, or the beginning of one.
        if size < 8 or length > _HEADER_BYTES:
            raise UsageError(f"{path} is no safetensors file ({size} bytes): {_AGAIN}")
        if size < 8 + length:
            raise UsageError(f"{path} is cut off in its header, after {size:,} bytes: {_AGAIN}")
        header = parse_json(file.read(length), f"the header of {path}")
    found: dict[str, Stored] = {}
    end = 0
    try:
        if not isinstance(header, dict):
            raise TypeError("no object")
        for name, tensor in header.items():
            if name != "__metadata__":
                shape, dtype = tuple(tensor["shape"]), tensor["dtype"]
                if not isinstance(dtype, str) or not all(isinstance(size, int) and 0 <= size < 2**40 for size in shape):
                    raise TypeError(name)
                start, stop = map(int, tensor["data_offsets"])
                found[name] = Stored(shape, dtype, path, 8 + length + start, 8 + length + stop)
                end = max(end, stop)
        whole = 8 + length + end
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the header of {path} does not describe tensors: {_AGAIN}") from error
    if size != whole:
        what = "is cut off" if size < whole else "is longer than its header says"
        raise UsageError(f"{path} {what} ({size:,} bytes, where {whole:,} belong): {_AGAIN}")
    return found


def _of_pickle(path: Path) -> dict[str, Stored]:
    names = {dtype: name for name, dtype in TORCH_DTYPES.items()}
    try:
        tensors = torch.load(path, map_location="meta", weights_only=True)
        return {
            name: Stored(tuple(tensor.shape), names.get(tensor.dtype, "F8"), path)
            for name, tensor in tensors.items()
            if isinstance(tensor, Tensor)
        }
    except Exception as error:
        # Whatever unpickling makes of bytes that are no pickle, or half of one.
        text = str(error).strip().splitlines()
        raise UsageError(
            f"{path} cannot be read ({text[0][:120] if text else type(error).__name__}): it is cut off, or no file of "
            f"weights; {_AGAIN}"
        ) from error


def refuse_pointers(folder: Path) -> None:
    """
    Raises:
        UsageError: for a pointer to another file, as `git clone` leaves it without git-lfs.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror}") from error
    for path in paths:
        if path.suffix in {".json", ".jinja", ".model", ".txt", ".safetensors", ".bin"}:
            _refuse_pointer(path)


def _refuse_pointer(path: Path) -> None:
    if not path.is_file() or path.stat().st_size > _POINTER_BYTES:
        return
    text = read_bytes(path)
    if text.startswith(_POINTER):
        size = re.search(rb"^size (\d{1,15})$", text, re.MULTILINE)
        of = f" to {int(size[1]):,} bytes" if size else ""
        raise UsageError(
            f"{path} is a Git LFS pointer{of}, not the file itself: run `git lfs pull` in the folder, or download the "
            "model with `hf download`"
        )


def refuse_adapter(folder: Path) -> None:
    """
    Raises:
        UsageError: for a folder that holds an adapter, beside a model or alone. transformers would apply it silently.
    """
    path = folder / "adapter_config.json"
    if not path.is_file():
        return
    try:
        record = read_json(path)
    except UsageError:
        record = None
    base = record.get("base_model_name_or_path") if isinstance(record, dict) else None
    of = f" of {base[:200]}" if isinstance(base, str) and base else ""
    how = "(peft: PeftModel.from_pretrained(base, adapter).merge_and_unload().save_pretrained(folder))"
    if (folder / "config.json").is_file():
        raise UsageError(
            f"{folder} holds an adapter{of} beside a model: loading would apply it unasked; merge it into the model "
            f"{how}, or move adapter_config.json away to use the model without it"
        )
    raise UsageError(f"{folder} is an adapter{of}, not a model: merge it into its base {how}, and give that folder")


def refuse_foreign_links(source: Path) -> None:
    """Check that what an export takes over from a model folder lies in it. A link could bring any file of the user's
    into an export, and so into an upload. Links to weights are those of people whose disks are full: weights are
    loaded and written again, never copied.

    Raises:
        UsageError: for a link that leads out of the folder (except the Hub cache's own links), or no regular file.
    """
    inside = [source.resolve()]
    if source.parent.name == "snapshots":
        # The Hub cache keeps the files of all commits of a repository here, and links to them.
        inside.append((source.parent.parent / "blobs").resolve())
    for path in sorted(source.iterdir()):
        if path.suffix not in _TAKEN_OVER:
            continue
        target = path.resolve()
        if not any(target.is_relative_to(folder) for folder in inside):
            raise UsageError(f"{path} is a link to {target}, outside the model's folder: put the file itself there")
        if not path.is_file():
            raise UsageError(f"{path} is no regular file: an export cannot take it over")


class Kind(Protocol):
    """What a tensor is, wherever its numbers lie."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> str: ...


def packed_layout(folder: Path, tensors: Mapping[str, Kind]) -> tuple[str, str] | None:
    """How weights are quantised where config.json does not tell, and what says so; None where they are not."""
    try:
        record = read_json(folder / "hf_quant_config.json")
    except (FileNotFoundError, UsageError):
        record = None
    quantization = record.get("quantization") if isinstance(record, dict) else None
    if isinstance(quantization, dict) and isinstance(algorithm := quantization.get("quant_algo"), str) and algorithm:
        return algorithm[:40].lower(), "hf_quant_config.json"
    for name, tensor in sorted(tensors.items()):
        floats = tensor.dtype.startswith(("F8", "F6", "F4"))
        if floats or (tensor.dtype in _INTEGERS and len(tensor.shape) > 1 and name.endswith("weight")):
            return ("fp8" if tensor.dtype.startswith("F8") else tensor.dtype), f"the dtype of {name}"
    return None


def few(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

"""Weight files copied and changed in place, without more of them in memory than a tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from heretic_tui.engine.checkpoint.stored import TORCH_DTYPES, Stored
from heretic_tui.errors import UsageError, one_line

# The kinds of matrices that are edited as they are, by safetensors' words.
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
# Bytes that are copied at once.
_PIECE = 16 << 20


def names_in(path: Path) -> list[str]:
    """The tensors of a safetensors file. They follow one another without gap or overlap: what is written at the place
    of one changes no other.

    Raises:
        UsageError: where they do not.
    """
    try:
        with safe_open(path, "pt") as file:
            return list(file.keys())
    except Exception as error:
        raise UsageError(f"{path} is no safetensors file that can be read ({one_line(error)})") from error


def read_tensor(stored: Stored) -> Tensor:
    """A tensor of one of the kinds of `TORCH_DTYPES`, in memory of its own.

    Raises:
        UsageError: when its file has become shorter.
    """
    content = bytearray(stored.stop - stored.start)
    # Not mapped: pages of a mapped file count as the process's memory for as long as it is open.
    with stored.file.open("rb", buffering=0) as file:
        file.seek(stored.start)
        _fill(file.readinto, content, stored.file)
    if not content:
        return torch.empty(stored.shape, dtype=TORCH_DTYPES[stored.dtype])
    return torch.frombuffer(content, dtype=TORCH_DTYPES[stored.dtype]).view(stored.shape)


def write_tensor(stored: Stored, folder: Path, tensor: Tensor) -> None:
    """Write a tensor in the place of one of the same shape and kind, in the file of the same name in a folder."""
    content = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    with (folder / stored.file.name).open("r+b") as file:
        file.seek(stored.start)
        file.write(content.data)


@dataclass(frozen=True)
class Piece:
    """Bytes of a file, from `start` up to `stop`, and where in another one they go."""

    start: int
    stop: int
    to: int


def copy_pieces(
    path: Path, size: int, folder: Path, header: bytes | None, pieces: Iterable[Piece], tell: Callable[[int], None]
) -> None:
    """Copy pieces of a file of weights to a folder, under its name. What is not copied stays free.

    Args:
        size: of the file that is written.
        header: written at its beginning, where there is one.
        tell: called after each part of a piece with its bytes; it may raise.

    Raises:
        UsageError: when the file has become shorter.
    """
    buffer = bytearray(_PIECE)
    with path.open("rb", buffering=0) as source, (folder / path.name).open("wb") as target:
        target.truncate(size)
        if header:
            target.write(header)
            tell(len(header))
        for piece in pieces:
            source.seek(piece.start)
            target.seek(piece.to)
            left = piece.stop - piece.start
            while left:
                some = memoryview(buffer)[: min(_PIECE, left)]
                _fill(source.readinto, some, path)
                target.write(some)
                left -= len(some)
                tell(len(some))


def _fill(read: Callable[[memoryview], int | None], content: bytearray | memoryview, path: Path) -> None:
    left = memoryview(content)
    while left:
        got = read(left)
        if not got:
            raise UsageError(f"{path} has become shorter while it was read: download the model again")
        left = left[got:]

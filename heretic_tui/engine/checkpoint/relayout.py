"""Weight files as an export has them: those of the source, with some quantised matrices in 16 bits. Files keep their
names."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from heretic_tui.engine.checkpoint.opened import Held, Packed
from heretic_tui.engine.checkpoint.shards import Piece
from heretic_tui.engine.checkpoint.stored import Stored
from heretic_tui.files import read_json


@dataclass(frozen=True)
class FilePlan:
    """How a file is made from that of the same name.

    Attributes:
        size: in bytes.
        header: with its length before it; None: the source's is copied.
        pieces: what is copied.
    """

    size: int
    header: bytes | None
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Layout:
    """All files of an export.

    Attributes:
        files: by their place in the source.
        places: where tensors will lie; `file` is that of the source with the same name.
    """

    files: Mapping[Path, FilePlan]
    places: Mapping[str, Stored]

    @property
    def size(self) -> int:
        return sum(plan.size for plan in self.files.values())


def layout_of(
    files: Sequence[Path], stored: Mapping[str, Stored], held: Mapping[str, Held], edited: Collection[str],
    whole: Collection[str],
) -> Layout:  # fmt: skip
    """
    Args:
        stored: all tensors of the files.
        held: those tensors opened.
        edited: names of what is written anew, by `held`.
        whole: of quantised matrices that will be in 16 bits.
    """
    packed = {name: each for name in {*edited, *whole} if isinstance(each := held[name], Packed)}
    anew = {part for name in edited for part in (packed[name].parts if name in packed else (name,))}
    opened = {packed[name].parts[0]: name for name in whole}
    gone = {part for name in whole for part in (packed[name].parts[1], *packed[name].beside)}
    anew |= opened.keys() | gone
    by_file: dict[Path, list[tuple[str, Stored]]] = {path: [] for path in files}
    for name, each in stored.items():
        by_file[each.file].append((name, each))
    made: dict[Path, FilePlan] = {}
    places: dict[str, Stored] = {}
    for path, found in by_file.items():
        own = sorted(found, key=lambda of: of[1].start)
        if not any(name in opened or name in gone for name, _ in own):
            places |= dict(own)
            made[path] = _as_it_is(path, [each for name, each in own if name in anew])
            continue
        made[path], moved = _moved(path, own, {part: (name, packed[name]) for part, name in opened.items()}, gone, anew)
        places |= moved
    return Layout(made, places)


def _moved(
    path: Path,
    own: Sequence[tuple[str, Stored]],
    opened: Mapping[str, tuple[str, Packed]],
    gone: Collection[str],
    anew: Collection[str],
) -> tuple[FilePlan, dict[str, Stored]]:
    """A file with other tensors, and where they lie in it.

    Args:
        own: its tensors in their order.
        opened: what is in place of codes, by their name.
        gone, anew: names of tensors that it will not hold, and of those that are not copied.
    """
    kept: list[tuple[str, Stored, Stored]] = []
    for name, old in own:
        if name in opened:
            target, matrix = opened[name]
            kept.append((target, old, Stored(matrix.shape, matrix.dtype, path, 0, matrix.empty().nbytes)))
        elif name not in gone:
            kept.append((name, old, replace(old, start=0, stop=old.stop - old.start)))
    # As safetensors has them, wide numbers first: then each begins where numbers of its width can lie.
    kept.sort(key=lambda of: -of[2].stop // max(1, math.prod(of[2].shape)))
    entries: dict[str, object] = {}
    at = 0
    for target, _, new in kept:
        entries[target] = {"dtype": new.dtype, "shape": list(new.shape), "data_offsets": [at, at + new.stop]}
        at += new.stop
    header = _header(entries, _metadata(path))
    whole = {name for name, _ in opened.values()}
    places: dict[str, Stored] = {}
    pieces = []
    begin = len(header)
    for target, old, new in kept:
        places[target] = replace(new, start=begin, stop=begin + new.stop)
        if target not in anew and target not in whole:
            pieces.append(Piece(old.start, old.stop, begin))
        begin += new.stop
    return FilePlan(begin, header, tuple(pieces)), places


def _as_it_is(path: Path, left_out: Sequence[Stored]) -> FilePlan:
    """The whole file but for the places of some tensors."""
    size, at, pieces = path.stat().st_size, 0, []
    for start, stop in [*sorted((each.start, each.stop) for each in left_out), (size, size)]:
        pieces.append(Piece(at, start, at))
        at = stop
    return FilePlan(size, None, tuple(pieces))


def _metadata(path: Path) -> object:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return header.get("__metadata__")


def _header(entries: Mapping[str, object], metadata: object) -> bytes:
    first = {} if metadata is None else {"__metadata__": metadata}
    text = json.dumps({**first, **entries}, separators=(",", ":"), ensure_ascii=False).encode()
    # Filled up with blanks, so that tensors begin at a multiple of eight.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def index_text(index: Path, layout: Layout) -> str:
    """The index of files in which some matrices are in 16 bits."""
    record = read_json(index)
    assert isinstance(record, dict)
    names = {name: place.file.name for name, place in layout.places.items()}
    more = {"total_size": sum(place.stop - place.start for place in layout.places.values())}
    # What counts parameters counts codes and scales in some files, and in others not.
    kept = {key: value for key, value in (record.get("metadata") or {}).items() if key != "total_parameters"}
    return json.dumps({"metadata": {**kept, **more}, "weight_map": dict(sorted(names.items()))}, indent=2) + "\n"

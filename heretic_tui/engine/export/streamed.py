"""The whole model with the edit in its weights, written from the files of its source: one tensor of the files at a time
is in memory, and the model is never built.

Files keep their names, headers and order; what is not edited is copied byte for byte. A matrix is read, edited as
`merged.py` edits it, and written in its own place. Of a source that is quantised those matrices are opened that are
edited, and written in 16 bits, or quantised again as they were.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from heretic_tui.engine.anatomy.writers import Writer
from heretic_tui.engine.checkpoint.conversion import NotInvertible, Origin, origins_of, prove
from heretic_tui.engine.checkpoint.opened import Held, Packed, opened, read_held
from heretic_tui.engine.checkpoint.packing import Packing
from heretic_tui.engine.checkpoint.relayout import Layout, index_text, layout_of
from heretic_tui.engine.checkpoint.shards import DTYPES, copy_pieces, names_in, write_tensor
from heretic_tui.engine.checkpoint.stored import index_of, stored_tensors, weight_files
from heretic_tui.engine.edits.bank import edited_writers
from heretic_tui.engine.edits.rounds import RoundEdit, edit_of_rounds
from heretic_tui.engine.export.merged import edit_matrix
from heretic_tui.engine.memory import give_heap_back
from heretic_tui.words import counted
from heretic_tui.work import Work

# Bytes of matrices that are written before memory is given back: between small ones the heap keeps holes.
_GIVEN_BACK = 32 << 20


class NotStreamable(Exception):
    """Why a model cannot be written so, as part of a sentence."""


@dataclass(frozen=True)
class _Part:
    """What is edited at once: an origin, and the writers of its parameters with the names that these have there. (A
    matrix that several layers share has several writers.)"""

    origin: Origin
    writers: tuple[tuple[Writer, str], ...]


@dataclass(frozen=True)
class StreamedMerge:
    """How a trial will be written; `plan_merge` makes it.

    Attributes:
        matrices: how many are edited.
        dtype: that of most of them, or what they are quantised as again.
        packing: how the source is quantised; None where it is not.
        whole: quantised matrices of the source that are written in 16 bits, those among them that are not edited too.
        layout: of the files that are written.
    """

    matrices: int
    dtype: str
    packing: Packing | None
    whole: frozenset[str]
    layout: Layout
    _tensors: dict[str, Held]
    _parts: tuple[_Part, ...]
    _rounds: tuple[RoundEdit, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return self.layout.size

    @property
    def requantized(self) -> int:
        """How many tensors of the files are quantised again."""
        return len(self._packed_and_edited() - self.whole)

    @property
    def format_words(self) -> str | None:
        """What becomes of the source's format, in sentences; None where it is not quantised."""
        if self.packing is None:
            return None
        title, said = self.packing.title, f"The source is {self.packing.title}: "
        if self.whole:
            count = counted(len(self.whole), "matrix", "matrices")
            words = str(self.packing.dtype).removeprefix("torch.")
            if not self.quantised:
                why = ", since vLLM loads no mixture of it and 16 bits" if self.packing.method == "mxfp4" else ""
                return f"{said}all {count} of it are written as {words}{why}."
            beside = " and the experts beside them" if self.whole - self._packed_and_edited() else ""
            return (
                f"{said}{count}, those that are edited{beside}, are written as {words}; the rest is {title} as it was."
            )
        if self.requantized:
            count = counted(self.requantized, "matrix", "matrices")
            return f"{said}{count} are quantised again as {title} after the edit, which rounds them."
        return f"{said}no matrix in it is edited."

    def _packed_and_edited(self) -> set[str]:
        edited = {name for part in self._parts for name in part.origin.sources}
        return {name for name in edited if isinstance(self._tensors[name], Packed)}

    @property
    def units(self) -> list[str]:
        """The modules that are in 16 bits in place of the source's format, by their names in the files."""
        return sorted({_unit_of(name) for name in self.whole})

    @property
    def quantised(self) -> bool:
        """Whether matrices of the files are still in the source's format."""
        return any(isinstance(held, Packed) and name not in self.whole for name, held in self._tensors.items())

    def write(self, folder: Path, work: Work) -> None:
        """Write the weight files, and their index where there is one.

        Raises:
            UsageError: when a file of the source changes meanwhile.
            Aborted: from the control, between pieces of some MB and between matrices.
        """
        report, total, done = work.progress("written, MB"), self.size, 0

        def tell(size: int) -> None:
            nonlocal done
            work.checkpoint()
            done += size
            report(done // 10**6, max(1, total // 10**6))

        tell(0)
        index = index_of(next(iter(self.layout.files)).parent)
        if index is not None:
            same = index.read_bytes()
            text = index_text(index, self.layout).encode() if self.whole else same
            (folder / index.name).write_bytes(text)
        written = 0
        # A part is written when all the files that it lies in are there.
        waiting = [(part, self._files(part.origin.sources)) for part in self._parts]
        edited = {name for part in self._parts for name in part.origin.sources}
        beside = [(name, self._files((name,))) for name in sorted(self.whole - edited)]
        for path, plan in self.layout.files.items():
            copy_pieces(path, plan.size, folder, plan.header, plan.pieces, tell)
            for _, lacking in [*waiting, *beside]:
                lacking.discard(path)
            for part in [part for part, lacking in waiting if not lacking]:
                written += self._put(self._edited(part), folder, tell)
                if written > _GIVEN_BACK:
                    written = 0
                    give_heap_back()
            for name in [name for name, lacking in beside if not lacking]:
                self._put({name: read_held(self._tensors[name])}, folder, tell)
            waiting = [(part, lacking) for part, lacking in waiting if lacking]
            beside = [(name, lacking) for name, lacking in beside if lacking]

    def _files(self, names: Sequence[str]) -> set[Path]:
        """Where tensors lie, of a quantised one codes and scales."""
        held = [self._tensors[name] for name in names]
        return {path for each in held for path in (each.files if isinstance(each, Packed) else (each.file,))}

    def _put(self, tensors: Mapping[str, Tensor], folder: Path, tell: Callable[[int], None]) -> int:
        """Write tensors of the files, and return how many bytes they had in memory."""
        for name, tensor in tensors.items():
            held = self._tensors[name]
            again = held.packed(tensor) if isinstance(held, Packed) and name not in self.whole else {name: tensor}
            for own, content in again.items():
                write_tensor(self.layout.places[own], folder, content)
                tell(content.nbytes)
        return sum(tensor.nbytes for tensor in tensors.values())

    def _edited(self, part: _Part) -> dict[str, Tensor]:
        """The tensors of the files after the edit. What is quantised again is not rounded to 16 bits in between."""
        origin = part.origin
        exact = [name for name in origin.sources if isinstance(self._tensors[name], Packed) and name not in self.whole]
        dtype = torch.float32 if exact else None
        parameters = origin.to_parameters({name: read_held(self._tensors[name], dtype) for name in origin.sources})
        with torch.no_grad():
            for writer, name in part.writers:
                writer.put(parameters[name])
            # All from the weights as they are: a matrix that two layers share gets one edit after the other.
            edits = [edit_of_rounds(writer, self._rounds) for writer, _ in part.writers]
            for (writer, _), edit in zip(part.writers, edits, strict=True):
                assert edit is not None, "a part holds matrices that are edited"
                edit_matrix(writer, edit)
            for writer, name in part.writers:
                writer.put(parameters[name].to("meta"))
        return origin.to_sources(parameters)


def plan_merge(
    source: Path,
    network: PreTrainedModel,
    writers: Sequence[Writer],
    rounds: Sequence[RoundEdit],
    packing: Packing | None = None,
    requantize: bool = False,
) -> StreamedMerge:
    """Find how the weights of a folder will be edited. Of each way in which transformers converts weights one is read
    and tried out.

    Args:
        network: of the folder's configuration, on the meta device.
        writers: of that network.
        rounds: the edits, each of what those before leave: that of the trial last.
        packing: how the source is quantised.
        requantize: whether what is edited is quantised again as it was.

    Raises:
        NotStreamable: where it cannot be done.
        UsageError: for weights that are not whole, and parameters that are not for this model.
    """
    if not type(network).__module__.startswith("transformers."):
        raise NotStreamable("the network is code that comes with the model")
    files, stored = weight_files(source), stored_tensors(source)
    tensors = opened(stored, packing)
    if not files or any(path.suffix != ".safetensors" for path in files):
        raise NotStreamable("the source holds no safetensors files")
    reached = [edited_writers(writers, each.parameters, each.directions.edited) for each in rounds]
    names_of_edited = {writer.name for some in reached for writer in some}
    edited = [writer for writer in writers if writer.name in names_of_edited]
    known = dict(network.named_parameters(remove_duplicate=False))
    try:
        found = origins_of(network, tensors, [writer.parameter for writer in edited])
        # Experts that are a tensor each in the files are edited one by one.
        origins = [one for origin in found for one in (origin.apart() if origin.stacked else [origin])]
        tried: set[str | None] = {None}
        for origin in origins:
            _check_dtypes(origin, tensors)
            if requantize and len({isinstance(tensors[name], Packed) for name in origin.sources}) > 1:
                raise NotStreamable(f"{origin.sources[0]} and what goes with it are quantised in part")
            if origin.kind not in tried:
                tried.add(origin.kind)
                prove(origin, {name: read_held(tensors[name]) for name in origin.sources})
    except NotInvertible as error:
        raise NotStreamable(str(error)) from error
    parts = []
    for origin in origins:
        names = {id(known[name]): name for name in origin.parameters if name in known}
        own = [(writer, names.get(id(known[writer.parameter]))) for writer in edited]
        parts.append(_Part(origin, tuple((_for(origin, writer), name) for writer, name in own if name is not None)))
    matrices = {name for origin in origins for name in origin.sources}
    whole = frozenset() if requantize else _whole(tensors, matrices)
    parts_of = (each.parts if isinstance(each := tensors[name], Packed) else (name,) for name in matrices | whole)
    _refuse_doubled(files, {part for names in parts_of for part in names})
    # A trial may edit nothing.
    kinds = [
        each.packing.title if isinstance(each := tensors[name], Packed) and name not in whole else each.dtype
        for name in matrices or tensors
    ]
    ((kind, _),) = Counter(kinds).most_common(1)
    return StreamedMerge(
        matrices=len(edited),
        dtype=str(DTYPES.get(kind, kind)).removeprefix("torch."),
        packing=packing,
        whole=whole,
        layout=layout_of(files, stored, tensors, matrices, whole),
        _tensors=tensors,
        _parts=tuple(parts),
        _rounds=tuple(rounds),
    )


def _whole(tensors: Mapping[str, Held], edited: Collection[str]) -> frozenset[str]:
    """What has to be in 16 bits so that programs can load the files, where the matrices that are edited are: experts of
    a layer are all of one kind to transformers and vLLM, and of MXFP4 vLLM knows all or nothing."""
    packed = {name: each for name, each in tensors.items() if isinstance(each, Packed)}
    changed = packed.keys() & set(edited)
    if any(packed[name].packing.method == "mxfp4" for name in changed):
        return frozenset(packed)
    units = {_unit_of(name) for name in changed}
    return frozenset(name for name in packed if _unit_of(name) in units)


def _unit_of(name: str) -> str:
    """What a matrix is quantised with, by its name in the files: all experts of a layer, or its module alone."""
    experts = re.match(r"(.*?\.experts)\.", name)
    return experts[1] if experts else name.removesuffix(".weight")


def _for(origin: Origin, writer: Writer) -> Writer:
    """The writer as it is with what an origin gives: of experts that are edited one by one, a stack of one, twice."""
    if writer.stack is None or not origin.alone:
        return writer
    return replace(writer, stack=replace(writer.stack, experts=2))


def _check_dtypes(origin: Origin, tensors: Mapping[str, Held]) -> None:
    """
    Raises:
        NotStreamable: for matrices that are not stored as they are, or in several kinds.
    """
    dtypes = {tensors[name].dtype for name in origin.sources}
    if len(dtypes) > 1 or not dtypes <= DTYPES.keys():
        raise NotStreamable(f"{origin.sources[0]} is stored as {' and '.join(sorted(dtypes))}")


def _refuse_doubled(files: Sequence[Path], edited: set[str]) -> None:
    """
    Raises:
        NotStreamable: for a matrix that lies in two files.
        UsageError: for a file whose tensors overlap.
    """
    seen: set[str] = set()
    for path in files:
        for name in names_in(path):
            if name in seen and name in edited:
                raise NotStreamable(f"{name} is in two weight files")
            seen.add(name)

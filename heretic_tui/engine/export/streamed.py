"""The whole model with the edit in its weights, written from the files of its source: one matrix at a time is in
memory, and the model is never built.

Files keep their names, headers and order; what is not edited is copied byte for byte. A matrix is read, edited as
`merged.py` edits it, and written in its own place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from heretic_tui.engine.anatomy.writers import Writer
from heretic_tui.engine.checkpoint.conversion import NotInvertible, Origin, origins_of, prove
from heretic_tui.engine.checkpoint.shards import DTYPES, copy_between, names_in, read_tensor, write_tensor
from heretic_tui.engine.checkpoint.stored import Stored, index_of, stored_tensors, weight_files
from heretic_tui.engine.edits.bank import EditBank, edited_writers
from heretic_tui.engine.edits.methods.base import EditMethod
from heretic_tui.engine.export.merged import edit_matrix
from heretic_tui.parameters import Parameters
from heretic_tui.work import Work


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
        files: the weight files of the source, and their bytes.
        matrices: how many are edited.
        dtype: that of most of them.
    """

    files: dict[Path, int]
    matrices: int
    dtype: str
    _tensors: dict[str, Stored]
    _parts: tuple[_Part, ...]
    _directions: Tensor
    _method: EditMethod
    _parameters: Parameters
    _readers: Tensor | None

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(self.files.values())

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
        index = index_of(next(iter(self.files)).parent)
        if index is not None:
            (folder / index.name).write_bytes(index.read_bytes())
        # A part is written when all the files that it lies in are there.
        waiting = [(part, {self._tensors[name].file for name in part.origin.sources}) for part in self._parts]
        edited = [self._tensors[name] for part in self._parts for name in part.origin.sources]
        for path, size in self.files.items():
            copy_between(path, size, folder, [stored for stored in edited if stored.file == path], tell)
            for _, lacking in waiting:
                lacking.discard(path)
            for part in [part for part, lacking in waiting if not lacking]:
                for name, tensor in self._edited(part).items():
                    write_tensor(self._tensors[name], folder, tensor)
                    tell(tensor.nbytes)
            waiting = [(part, lacking) for part, lacking in waiting if lacking]

    def _edited(self, part: _Part) -> dict[str, Tensor]:
        """The tensors of the files after the edit."""
        origin = part.origin
        parameters = origin.to_parameters({name: read_tensor(self._tensors[name]) for name in origin.sources})
        with torch.no_grad():
            for writer, name in part.writers:
                writer.put(parameters[name])
            # All from the weights as they are: a matrix that two layers share gets one edit after the other.
            edits = [self._bank(writer).edit_of(writer, self._parameters) for writer, _ in part.writers]
            for (writer, _), edit in zip(part.writers, edits, strict=True):
                edit_matrix(writer, edit)
            for writer, name in part.writers:
                writer.put(parameters[name].to("meta"))
        return origin.to_sources(parameters)

    def _bank(self, writer: Writer) -> EditBank:
        # One for each: a bank keeps something of every matrix.
        return EditBank((writer,), self._directions, self._method, 0, self._readers)


def plan_merge(
    source: Path,
    network: PreTrainedModel,
    writers: Sequence[Writer],
    directions: Tensor,
    method: EditMethod,
    parameters: Parameters,
    layers: Container[int] | None = None,
    readers: Tensor | None = None,
) -> StreamedMerge:
    """Find how the weights of a folder will be edited. Of each way in which transformers converts weights one is read
    and tried out.

    Args:
        network: of the folder's configuration, on the meta device.
        writers: of that network.
        directions: of each residual index, (layers + 1, k, hidden) float32.
        layers: those that may be edited; None: all.
        readers: what the directions are read along; None: themselves.

    Raises:
        NotStreamable: where it cannot be done.
        UsageError: for weights that are not whole, and parameters that are not for this model.
    """
    if not type(network).__module__.startswith("transformers."):
        raise NotStreamable("the network is code that comes with the model")
    files, tensors = weight_files(source), stored_tensors(source)
    if not files or any(path.suffix != ".safetensors" for path in files):
        raise NotStreamable("the source holds no safetensors files")
    edited = edited_writers(writers, parameters, layers)
    known = dict(network.named_parameters(remove_duplicate=False))
    try:
        origins = origins_of(network, tensors, [writer.parameter for writer in edited])
        tried: set[str | None] = {None}
        for origin in origins:
            _check_dtypes(origin, tensors)
            if origin.kind not in tried:
                tried.add(origin.kind)
                prove(origin, {name: read_tensor(tensors[name]) for name in origin.sources})
    except NotInvertible as error:
        raise NotStreamable(str(error)) from error
    parts = []
    for origin in origins:
        names = {id(known[name]): name for name in origin.parameters if name in known}
        own = [(writer, names.get(id(known[writer.parameter]))) for writer in edited]
        parts.append(_Part(origin, tuple((writer, name) for writer, name in own if name is not None)))
    _refuse_doubled(files, {name for origin in origins for name in origin.sources})
    # A trial may edit nothing.
    matrices = [name for origin in origins for name in origin.sources] or list(tensors)
    ((kind, _),) = Counter(tensors[name].dtype for name in matrices).most_common(1)
    return StreamedMerge(
        files={path: path.stat().st_size for path in files},
        matrices=len(edited),
        dtype=str(DTYPES.get(kind, kind)).removeprefix("torch."),
        _tensors=tensors,
        _parts=tuple(parts),
        _directions=directions,
        _readers=readers,
        _method=method,
        _parameters=parameters,
    )


def _check_dtypes(origin: Origin, tensors: dict[str, Stored]) -> None:
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

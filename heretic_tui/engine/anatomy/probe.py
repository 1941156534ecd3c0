"""What each layer adds to the residual stream, tried out: the writers found must account for all of it.

Names can mislead; a forward pass cannot. Every layer is called again on the few tokens of a probe with its writers'
outputs replaced. With all of them zero, a layer must leave the stream as it is. With one of them set to known vectors,
what arrives in the stream tells what lies between: nothing, a norm with a gain, or something that an edit of the
matrix cannot account for.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from heretic_tui.engine.anatomy.fused_experts import Stack, Transform, transformed_products
from heretic_tui.engine.anatomy.writers import Anatomy, Missing, Writer, embedding_matrix, find_anatomy
from heretic_tui.engine.hooks import LayerCall, Replacement, catch_inputs, replace_outputs
from heretic_tui.words import ranges

log = logging.getLogger(__name__)

_TOKENS = 8
# Relative errors that count as none, in float32 and in 16 bits.
_EXACT, _ROUNDED = 1e-3, 0.05

# From a writer's own output (…, hidden) to what replaces it.
Put = Callable[[Tensor], Tensor]


def examine(network: nn.Module, fine: bool = False, post_norms: bool = True) -> Anatomy:
    """Find the writers of a loaded network and verify them.

    Args:
        fine: a component for each kind of writer, instead of two.
        post_norms: whether edits are to reckon with norms behind writers.

    Raises:
        UsageError: when no decoder layers, or nothing that can be edited, are found.
    """
    anatomy = probe(network, find_anatomy(network, fine))
    if post_norms:
        return anatomy
    plain = tuple(replace(writer, post_norm_gain=None, centred=False) for writer in anatomy.writers)
    return replace(anatomy, writers=plain)


def probe(network: nn.Module, anatomy: Anatomy) -> Anatomy:
    """The anatomy with what a forward pass tells: gains of norms behind writers, and lines for what is not accounted
    for. Takes as long as about ten forward passes of eight tokens.

    A network whose forward pass needs more than tokens is left as it was found, with a note.
    """
    try:
        calls = _calls(network, anatomy.layers)
    except Exception as error:
        # Whatever the code of an architecture raises that needs more than tokens.
        log.debug("the network does not run on tokens alone", exc_info=True)
        return replace(anatomy, notes=(*anatomy.notes, f"the writers were not verified: {_line(error)}"))
    writers: list[Writer] = []
    unseen: list[Writer] = []
    findings: list[tuple[int, str, str]] = []
    for index in range(len(anatomy.layers)):
        own = [writer for writer in anatomy.writers if writer.layer == index]
        call = calls.get(index)
        if call is None:
            writers += own
            findings.append((index, "note", "not reached by text alone, so not verified"))
            continue
        try:
            with torch.inference_mode():
                kept, told, lost = _LayerProbe(call, own).run()
        except Exception as error:
            # A layer may fail on outputs that it never gives itself.
            log.debug("layer %d is not verified", index, exc_info=True)
            kept, told, lost = own, [("note", f"not verified: {_line(error)}")], []
        writers += kept
        unseen += lost
        findings += [(index, *each) for each in told]
    partly = _merged([(index, text) for index, sort, text in findings if sort == "partly"])
    notes = _merged([(index, text) for index, sort, text in findings if sort == "note"])
    missing = [Missing(w.layer, w.name, w.kind, w.shape, "its experts are computed in a way unknown") for w in unseen]
    return replace(
        anatomy,
        writers=tuple(writers),
        missing=(*anatomy.missing, *missing),
        partly=(*anatomy.partly, *partly),
        notes=(*anatomy.notes, *notes),
    )


def _calls(network: nn.Module, layers: nn.ModuleList) -> dict[int, LayerCall]:
    """The first call of every layer in a forward pass over a few tokens."""
    caught: dict[int, LayerCall] = {}

    def keep(index: int, call: LayerCall) -> None:
        caught.setdefault(index, call)

    generator = torch.Generator().manual_seed(0)
    embedding = embedding_matrix(network)
    most = min(len(embedding), 30_000)
    ids = torch.randint(most // 2, (1, _TOKENS), generator=generator).to(embedding.device)
    with catch_inputs(layers, keep), torch.inference_mode():
        network(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    return caught


class _LayerProbe:
    """The trials of one layer."""

    def __init__(self, call: LayerCall, writers: Sequence[Writer]) -> None:
        self._call = call
        self._writers = writers
        self._stream = call.stream
        self._width = writers[0].shape[-2]
        # Some models put tokens of their own before those of the text.
        first_is_batch = self._stream.ndim < 4 or self._stream.shape[1] > 1
        self._tokens = self._stream.shape[1 if first_is_batch else 2]
        self._tolerance = _EXACT if self._stream.dtype == torch.float32 else _ROUNDED
        # Of what is put in: large beside the stream, so that rounding it does not hide what arrives.
        self._size = 1.0 if self._stream.dtype == torch.float32 else 16 * float(self._stream.abs().max())
        self._fired: set[str] = set()

    def run(self) -> tuple[list[Writer], list[tuple[str, str]], list[Writer]]:
        """The writers that are kept, with gains; what is to be told: sort and text; and fused experts whose products
        did not occur, which an edit would miss."""
        told: list[tuple[str, str]] = []
        stream = self._stream
        added = (self._call.again(stream) - stream).float().norm()
        silenced = self._with(None, None)
        # What is the same at every token is a bias; biases are left alone.
        constant = (silenced - stream).float()
        constant = self._by_token(constant) - self._by_token(constant).mean(dim=0)
        left = min(self._beyond(silenced, stream).norm(), constant.norm()) / added
        if left > self._tolerance:
            told.append(
                (
                    "partly",
                    f"something besides the writers found changes the stream, by {left:.0%} of what the layer adds, "
                    "such as a norm or a scale of the stream itself",
                )
            )
        kept: list[Writer] = []
        unseen: list[Writer] = []
        if self._by_token(stream).shape[1] > 1:
            # Layers with several streams mix them, by weights that depend on their content, and the mixture would be
            # taken for the writer's output. Streams of zeros add nothing to it.
            self._stream = torch.zeros_like(stream)
        empty = self._with(None, None)
        for label, group in _groups(self._writers):
            responses = [self._rows(self._with(group, u).float() - empty.float(), u) for u in self._vectors(group)]
            name = re.sub(r"\.\d+\.", ".*.", label)
            if not any(writer.name in self._fired for writer in group):
                if group[0].stack is not None:
                    unseen += group
                    continue
                told.append(("note", f"{name}: not reached by the probe, so not verified"))
                kept += group
                continue
            reading = _read(responses, self._tolerance)
            if reading == "silent":
                told.append(("note", f"{name}: does not reach the stream, so it is not edited"))
                continue
            if reading == "irregular":
                told.append(("partly", f"{name}: what follows differs by token and channel, so part of it stays"))
                kept += group
                continue
            if isinstance(reading, str):
                kept += group
                continue
            gain, centred = self._exact_gain(group, reading)
            kept += [replace(writer, post_norm_gain=gain, centred=centred) for writer in group]
        return kept, told, unseen

    def _exact_gain(self, group: Sequence[Writer], reading: tuple[Tensor, bool]) -> tuple[Tensor, bool]:
        """In 16 bits a large stream rounds away what is added to it: over an empty one the gain can be read."""
        gain, centred = reading
        if self._stream.dtype != torch.float32:
            vector = self._vectors(group)[0]
            nothing = torch.zeros_like(self._stream)
            response = (self._with(group, vector, nothing) - self._with(None, None, nothing)).float()
            rows, given = self._rows(response, vector)
            best = rows.norm(dim=-1).argmax()
            if rows.isfinite().all() and rows[best].norm() > 0:
                gain = rows[best] / given[best]
        return gain / gain.abs().mean(), centred

    def _vectors(self, group: Sequence[Writer]) -> list[Tensor]:
        """Two sets of vectors with entries of ±1: one balanced, one with a mean. A vector for each token, or one for
        all where rows are experts' and their order is not the tokens'."""
        width = self._width
        one_for_all = group[0].kind == "routed experts" or group[0].stack is not None
        rows = 1 if one_for_all else self._tokens
        generator = torch.Generator().manual_seed(1)
        balanced = torch.stack([torch.randperm(width, generator=generator) for _ in range(rows)]) % 2 * 2.0 - 1
        leaning = torch.where(torch.rand(rows, width, generator=generator) < 0.75, 1.0, -1.0)
        return [vectors.to(self._stream.device) for vectors in (balanced, leaning)]

    def _by_token(self, stream: Tensor) -> Tensor:
        """A layer's input or output as (tokens, streams, hidden). Architectures with several streams hold them in a
        first dimension, in the last but one, or side by side in the last."""
        if stream.ndim == 4 and stream.shape[1] == 1:
            stream = stream.movedim(0, 2)
        return stream.reshape(self._tokens, -1, self._width)

    def _beyond(self, out: Tensor, stream: Tensor) -> Tensor:
        """The part of a layer's output that is no multiple of the stream it was given, token by token; where a token
        has several streams, the part that is no mixture of them. Shape (tokens, streams, hidden)."""
        rows, given = self._by_token(out.float()), self._by_token(stream.float())
        inverse: Tensor = torch.linalg.pinv(given)
        return rows - rows @ inverse @ given

    def _rows(self, response: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Responses as rows (n, hidden), and for each row the vector that was put in."""
        per_token = self._by_token(response)
        given = vectors.expand(self._tokens, self._width)[:, None].expand_as(per_token)
        return per_token.reshape(-1, self._width), given.reshape(-1, self._width).to(response)

    def _with(self, group: Sequence[Writer] | None, vectors: Tensor | None, stream: Tensor | None = None) -> Tensor:
        """The layer's output with the group's outputs replaced by the vectors, and all others by zeros."""
        names = {writer.name for writer in group or ()}

        def putting(writer: Writer) -> Put:
            def put(output: Tensor) -> Tensor:
                if not output.numel():
                    return output
                self._fired.add(writer.name)
                if writer.name not in names or vectors is None:
                    return torch.zeros_like(output)
                given = (vectors * self._size).to(output)
                if len(given) == 1:
                    return given[0].expand_as(output).contiguous()
                return given.expand(output.numel() // given.numel(), -1, -1).reshape(output.shape)

            return put

        with _put_in_place(self._writers, putting):
            return self._call.again(self._stream if stream is None else stream)


@contextmanager
def _put_in_place(writers: Sequence[Writer], putting: Callable[[Writer], Put]) -> Iterator[None]:
    """Within the block what a writer gives, bias and all, is replaced."""
    matrices: list[tuple[nn.Module, Replacement]] = []
    stacks: dict[int, list[tuple[Stack, Transform]]] = {}
    for writer in writers:
        put = putting(writer)
        if writer.stack is None:
            matrices.append((writer.module, _of_output(put)))
        else:
            stacks.setdefault(id(writer.stack.caller), []).append((writer.stack, _of_product(put)))
    with ExitStack() as stack:
        stack.enter_context(replace_outputs(matrices))
        for group in stacks.values():
            stack.enter_context(transformed_products(group))
        yield


def _of_product(put: Put) -> Transform:
    return lambda x, y, experts: put(y)


def _of_output(put: Put) -> Replacement:
    return lambda x, y: put(y)


def _groups(writers: Sequence[Writer]) -> Iterator[tuple[str, list[Writer]]]:
    """Writers that are tried out together: the experts of a list are one group."""
    groups: dict[str, list[Writer]] = {}
    for writer in writers:
        label = writer.name.split(f".{writer.layer}.", 1)[-1]
        if "expert" in writer.kind:
            label = re.sub(r"\d+", "*", label)
        groups.setdefault(label, []).append(writer)
    yield from groups.items()


def _read(responses: list[tuple[Tensor, Tensor]], tolerance: float) -> str | tuple[Tensor, bool]:
    """What lies between a writer and the stream: "plain", "silent", "irregular", or a gain and whether it is centred.

    A factor may differ from row to row (routing weights, a norm's length): only directions are compared.
    """
    (first, balanced), (second, leaning) = (_where_arrived(rows, given, tolerance) for rows, given in responses)
    if not len(first) or not len(second):
        return "silent"
    if _along(first, balanced) < tolerance and _along(second, leaning) < tolerance:
        return "plain"
    best = first.norm(dim=-1).argmax()
    gain = first[best] / balanced[best]
    if _along(first, gain * balanced) < tolerance:
        if _along(second, gain * leaning) < tolerance:
            return gain, False
        if _along(second, gain * (leaning - leaning.mean(dim=-1, keepdim=True))) < tolerance:
            return gain, True
    return "irregular"


def _where_arrived(rows: Tensor, given: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Rows in which something arrived: not every token is sent to every expert."""
    lengths = rows.norm(dim=-1)
    arrived = lengths > max(1e-6, float(lengths.max()) * tolerance)
    return rows[arrived], given[arrived]


def _along(rows: Tensor, expected: Tensor) -> float:
    """Largest share of a row that does not lie along what is expected of it."""
    unit = nn.functional.normalize(expected, dim=-1)
    off = rows - (rows * unit).sum(dim=-1, keepdim=True) * unit
    return float((off.norm(dim=-1) / rows.norm(dim=-1)).max())


def _merged(found: list[tuple[int, str]]) -> list[str]:
    """One line for what is told of several layers."""
    layers: dict[str, list[int]] = {}
    for index, text in found:
        # Shares differ a little from layer to layer; what is said is the same.
        layers.setdefault(re.sub(r"by \d+% of", "by part of", text), []).append(index)
    return [f"layer{'s' if len(at) > 1 else ''} {ranges(at)}: {text}" for text, at in layers.items()]


def _line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].strip() if text else type(error).__name__

"""Whether a model's weights are what its configuration says: no parameter may be left as it was drawn at random, and
nothing that belongs to a layer may be left out.

transformers loads whatever names fit, draws the rest at random, and says so in a log. Here its report decides. The
same is tried out before weights are read, with tensors that have shapes and no content.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypedDict, cast

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers import __version__ as transformers_version
from transformers.utils.logging import set_tqdm_hook

from heretic_tui.engine.checkpoint.opened import Held
from heretic_tui.engine.checkpoint.packing import unpacked
from heretic_tui.engine.checkpoint.stored import few
from heretic_tui.engine.checkpoint.suitability import model_class, refuse_packed
from heretic_tui.errors import UsageError, one_line

# Names that only packed weights have beside them.
_SCALES = re.compile(
    r"(weight_scale(_inv|_2)?|weight_packed|weight_zero_point|weight_shape|input_scale|scales|blocks|qweight|qzeros|zeros"
    r"|g_idx|absmax|quant_map|quant_state\..*|SCB)$"
)
_ADAPTER = re.compile(r"(^|[._])(lora_|lora$|base_layer\.|modules_to_save\.|ia3_|loha_|lokr_|prompt_embeddings)")
# What training frameworks put in front of names, or between them.
_WRAPPERS = re.compile(r"(^|\.)(module|_orig_mod|base_model\.model|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# Left out by design: heads that form further tokens, tables and masks that are computed, scales of a cache.
_BY_DESIGN = re.compile(
    r"mtp|nextn|eagle|medusa|eh_proj|enorm|hnorm|shared_head|inv_freq|(cos|sin)_cached|masked_bias|\.attn(ention)?\.bias$"
    r"|position_ids|[kv]_scale$|num_batches_tracked"
)
# Transformers changes what all threads see while it makes or loads a network: two at once find weights missing that are
# there. (A screen looks at the model that is set while the engine loads it.)
_ONE_AT_A_TIME = threading.RLock()

log = logging.getLogger(__name__)

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


class LoadingInfo(TypedDict):
    """What `from_pretrained` returns with output_loading_info, as far as it is read here; names of tensors."""

    missing_keys: Iterable[str]
    unexpected_keys: Iterable[str]
    mismatched_keys: Iterable[tuple[str, Sequence[int], Sequence[int]]]


@dataclass(frozen=True)
class Report:
    """What transformers tells of loading, without what is tied, and what the class says that it leaves out.

    Attributes:
        missing: parameters without a tensor.
        unexpected: tensors without a parameter.
        mismatched: shape in the file and in the model, of tensors where they differ.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()

    @classmethod
    def of(cls, network: nn.Module, info: LoadingInfo) -> Report:
        missing = set(info["missing_keys"])
        # One parameter under two names is there when either is, whatever list of tied names the class keeps.
        names: dict[int, list[str]] = {}
        for name, parameter in network.named_parameters(remove_duplicate=False):
            names.setdefault(id(parameter), []).append(name)
        for same in names.values():
            if len(same) > 1 and not missing.issuperset(same):
                missing.difference_update(same)
        mismatched = [(name, tuple(stored), tuple(wanted)) for name, stored, wanted in info["mismatched_keys"]]
        return cls(tuple(sorted(missing)), tuple(sorted(info["unexpected_keys"])), tuple(sorted(mismatched)))


def with_report(
    cls: type[PreTrainedModel]
    | type[AutoModelForCausalLM]
    | type[AutoModelForImageTextToText]
    | type[AutoModelForSequenceClassification],
) -> Callable[..., tuple[PreTrainedModel, LoadingInfo]]:
    """`from_pretrained` of a class, to be called with `output_loading_info`: it gives the report on the weights too,
    which its annotations do not say."""
    load = cast(Callable[..., tuple[PreTrainedModel, LoadingInfo]], cls.from_pretrained)

    def alone(*arguments: object, **options: object) -> tuple[PreTrainedModel, LoadingInfo]:
        with _ONE_AT_A_TIME:
            return load(*arguments, **options)

    return alone


def build_empty(config: PretrainedConfig, trust_remote_code: bool) -> PreTrainedModel:
    """The network of a configuration, on the meta device.

    Raises:
        UsageError: when it cannot be built.
    """
    try:
        with _ONE_AT_A_TIME, torch.device("meta"):
            network: PreTrainedModel = model_class(config).from_config(  # type: ignore[no-untyped-call]
                config, trust_remote_code=trust_remote_code
            )
        return network
    except Exception as error:
        # Configurations hold whatever their authors wrote, and some classes want packages that are not there.
        what = one_line(error)
        if isinstance(error, KeyError) and (said := _where_said(error.args[0], config.to_dict())):
            what = f"{said} {error.args[0]!r} is not one that it knows"
        raise UsageError(
            f"a {config.model_type} model cannot be built from config.json with transformers {transformers_version}: "
            f"{what}"
        ) from error


def try_on(cls: type[PreTrainedModel], config: PretrainedConfig, tensors: Mapping[str, Held]) -> list[str]:
    """Load tensors that have names and shapes only into a network of a class. Returns those that it leaves out.

    Raises:
        UsageError: when the weights are not those of the network.
    """
    state = {name: tensor.empty() for name, tensor in tensors.items()}
    with _in_silence() as said:
        try:
            network, info = with_report(cls)(
                None,
                config=unpacked(config),
                state_dict=state,
                device_map={"": "meta"},
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except Exception:
            log.info("the weights could not be tried on", exc_info=True)
            broken = re.findall(r"^(\S+)\s*\| (?:\x1b\[\d+m)?CONVERSION", "\n".join(said), re.MULTILINE)
            if broken:
                raise _refusal(
                    f"the parts of {few(sorted(broken))} do not fit together",
                    "some are missing, or differ in shape; download the model again",
                ) from None
            # Without contents not everything can be done: loading will tell.
            return []
    return refuse_misfit(network, Report.of(network, info))


@contextmanager
def _in_silence() -> Iterator[list[str]]:
    """Keep what transformers logs and draws within the block to itself; yields what it logged."""
    said: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        said.append(record.getMessage())
        return False

    def items(factory: Callable[..., object], args: tuple[object, ...], options: dict[str, object]) -> object:
        return factory(*args, **{**options, "disable": True})

    loud = logging.getLogger("transformers.modeling_utils")
    level = loud.level
    if not loud.isEnabledFor(logging.WARNING):
        loud.setLevel(logging.WARNING)
    loud.addFilter(keep)
    before = set_tqdm_hook(items)
    try:
        yield said
    finally:
        set_tqdm_hook(before)
        loud.removeFilter(keep)
        loud.setLevel(level)


def refuse_misfit(network: nn.Module, report: Report) -> list[str]:
    """Returns the tensors that the class leaves out, which is no fault.

    Raises:
        UsageError: when the weights are not those of the network, with what is probably the matter.
    """
    unexpected = report.unexpected
    if packed := [name for name in unexpected if _SCALES.search(name)]:
        refuse_packed("in a layout of its own", f"what lies beside the weights, {few(packed)}")
    if adapter := [name for name in unexpected if _ADAPTER.search(name)]:
        raise _refusal(
            f"{_tensors(adapter)} of an adapter among them",
            "merge it into the model (peft: merge_and_unload), and give the merged folder",
        )
    expected = set(network.state_dict())
    if report.missing:
        raise _refusal(f"{_tensors(report.missing)} not there", _cause_of_missing(report, expected))
    if report.mismatched:
        name, stored, wanted = report.mismatched[0]
        more = f", and {len(report.mismatched) - 1} more differ" if len(report.mismatched) > 1 else ""
        raise _refusal(
            f"{name} is {_size(stored)} in the weights and {_size(wanted)} by config.json{more}",
            "config.json and weights are of different models, or one was changed without the other",
        )
    if doubled := [name for name in unexpected if _WRAPPERS.search(name) and _WRAPPERS.sub(r"\1", name) in expected]:
        raise _refusal(f"{_tensors(doubled)} there twice, once with a prefix", "save the model anew from what is meant")
    stems = _stems(expected)
    if more_layers := _beyond(unexpected, expected, stems):
        raise _refusal(
            f"{_tensors(more_layers)} of layers or experts that it has no place for",
            "config.json counts fewer than the weights hold: put back the config.json that belongs to them",
        )
    if inside := [name for name in unexpected if _inside_a_layer(name, network, stems)]:
        raise _refusal(
            f"{type(network).__name__} has no place in its layers for {_tensors(inside, verb=False)}",
            "it would compute something else without them: put back the config.json that belongs to the weights",
        )
    return list(unexpected)


def _refusal(what: str, cause: str) -> UsageError:
    return UsageError(f"the weights are not what config.json says: {what}: {cause}")


def _tensors(names: Collection[str], verb: bool = True) -> str:
    found = sorted(names)
    count = "1 tensor" if len(found) == 1 else f"{len(found)} tensors"
    return f"{count} ({few(found)})" + ((" is" if len(found) == 1 else " are") if verb else "")


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a number"


def _cause_of_missing(report: Report, expected: set[str]) -> str:
    missing, unexpected = set(report.missing), set(report.unexpected)
    if prefix := _extra_prefix(unexpected, missing):
        return f"the names in the weights begin with {prefix!r}, which does not belong there: save them without it"
    if prefix := _extra_prefix(missing, unexpected):
        return f"the names in the weights lack the beginning {prefix!r}: save them with it"
    layers: dict[str, list[bool]] = {}
    for name in expected:
        if number := _NUMBER.search(name):
            layers.setdefault(name[: number.end()], []).append(name in missing)
    whole = [layer for layer, gone in layers.items() if all(gone)]
    stem = min(whole, default="").rpartition(".")[0]
    of = sum(layer.rpartition(".")[0] == stem for layer in layers)
    there = of - sum(layer.rpartition(".")[0] == stem for layer in whole)
    if whole and (there or not unexpected):
        return (
            f"the weights hold {there} of the {of} that config.json counts in {stem}; the file is not whole, or "
            "config.json is of another model"
        )
    if missing == {"lm_head.weight"}:
        return (
            "config.json says that the head is not tied to the embedding (tie_word_embeddings); set it to true if it "
            "is, else download the model again"
        )
    if unexpected:
        return f"in their place lie others, such as {min(unexpected)}: config.json is of another architecture"
    return "they would be drawn at random; download or save the model again"


def _extra_prefix(longer: set[str], shorter: set[str]) -> str | None:
    """What most of the longer names have in front of the shorter ones; None where that is no rule."""
    found: Counter[str] = Counter()
    for name in longer:
        parts = name.split(".")
        for cut in range(1, min(len(parts), 5)):
            if ".".join(parts[cut:]) in shorter:
                found[".".join(parts[:cut]) + "."] += 1
                break
    prefix, count = found.most_common(1)[0] if found else ("", 0)
    return prefix if count * 2 >= len(shorter) else None


def _stems(expected: set[str]) -> set[str]:
    """Every beginning of a name that ends in a number: layers, and experts within them."""
    return {name[: number.end()] for name in expected for number in _NUMBER.finditer(name)}


def _beyond(unexpected: Collection[str], expected: set[str], stems: set[str]) -> list[str]:
    """Tensors of a layer or an expert that the model does not have, while it has others of the kind."""
    kinds = {_NUMBER.sub("0", name) for name in expected}
    drafting = {stem for name in unexpected if _BY_DESIGN.search(name) and (stem := _layer_of(name))}
    return [
        name
        for name in unexpected
        if _NUMBER.sub("0", name) in kinds
        and any(name[: number.end()] not in stems for number in _NUMBER.finditer(name))
        and _layer_of(name) not in drafting
    ]


def _layer_of(name: str) -> str | None:
    number = _NUMBER.search(name)
    return name[: number.end()] if number else None


def _inside_a_layer(name: str, network: nn.Module, stems: set[str]) -> bool:
    """Whether a tensor belongs to something that is computed, and would be left out of it."""
    if _BY_DESIGN.search(name):
        return False
    module, _, key = name.rpartition(".")
    if key == "bias":
        try:
            return getattr(network.get_submodule(module), "weight", None) is not None
        except AttributeError:
            pass
    depth = getattr(network.config.get_text_config(decoder=True), "num_kv_shared_layers", 0)  # type: ignore[union-attr, operator]
    # Layers that take keys and values of others have none of their own, whatever the file holds.
    shared = bool(depth) and re.search(r"\.(k|v)_(proj|norm)\.", name) is not None
    return _layer_of(name) in stems and not shared


def _where_said(value: object, record: object, name: str = "it") -> str | None:
    """The setting of a configuration that has a value; None where none has."""
    if isinstance(record, Mapping):
        # The last is the name that transformers itself gives it, where a configuration has an older one too.
        said = (
            found for key, inner in reversed(list(record.items())) if (found := _where_said(value, inner, str(key)))
        )
        return next(said, None)
    return name if record == value else None

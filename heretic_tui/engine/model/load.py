"""A model from its files into memory: the first dtype that works, in fewer bits, devices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import torch
from transformers import (
    BitsAndBytesConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from heretic_tui.control import Aborted
from heretic_tui.engine.anatomy.few_bits import set_products, taken, usually_left, whole_matrix
from heretic_tui.engine.checkpoint.misfit import LoadingInfo, Report, build_empty, refuse_misfit, with_report
from heretic_tui.engine.checkpoint.packing import packing_of
from heretic_tui.engine.checkpoint.source import (
    check_weights,
    download,
    hub_options,
    load_config,
    load_tokenizer,
    locate,
    log,
    source_folder,
    unavailable,
)
from heretic_tui.engine.checkpoint.stored import few, weight_files
from heretic_tui.engine.checkpoint.suitability import model_class
from heretic_tui.engine.finite import weights_not_finite
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.memory import fewer_bits, free_memory, is_out_of_memory
from heretic_tui.engine.model.capabilities import find_capabilities
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.dequantised import load_dequantised, opened_words
from heretic_tui.engine.model.progress_bars import bars_as_progress
from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.settings.schema import Settings
from heretic_tui.words import quoted
from heretic_tui.work import Work

# Weights of a block have one scale. Where a row ends within one, bitsandbytes' dequantisation on a CPU takes wrong
# scales, and some from beyond their end (0.50.2).
_CPU_COLUMNS = 64


def load_model(
    settings: Settings, work: Work, tokenizer: PreTrainedTokenizerBase | None = None, dtypes: Sequence[str] = ()
) -> tuple[ChatModel, str]:
    """Load with the first of the setting `dtypes` with which both loading and a one-token test work.

    Args:
        dtypes: those to try, where others of the setting are known to fail; empty for all of the setting.

    Returns the model, and the entry of the setting `dtypes` that it was loaded with.

    Raises:
        UsageError: no such model, weights that are not what its configuration says, or that do not fit on the devices.
        HereticError: when no dtype works; the reason for each is in the message.
    """
    tokenizer = tokenizer or load_tokenizer(settings)
    config = load_config(settings)
    if download(settings, work):
        check_weights(settings, config)
    _see_device(settings.device_map)
    failures: dict[str, list[str]] = {}
    for dtype in dtypes or settings.dtypes:
        found = _attempt(settings, config, tokenizer, dtype, work)
        if isinstance(found, ChatModel):
            return found, dtype
        # The next attempt needs the memory of this one, which nothing refers to after the function has returned.
        free_memory()
        failures.setdefault(found, []).append(dtype)
        work.note(f"loading as {dtype} failed: {found}", "warning")
    # What has nothing to do with the dtype is said once.
    reasons = "; ".join(f"{', '.join(tried)}: {reason}" for reason, tried in failures.items())
    raise HereticError(f"{settings.model} could not be loaded with any dtype; {reasons}")


def _see_device(name: str) -> None:
    """
    Raises:
        UsageError: for a name that is none of a device, or a device that this machine does not have.
    """
    if name in _SPREAD:
        return
    try:
        torch.empty(0, device=name)
    except Exception as error:
        raise UsageError(
            f"device_map: {quoted(name)} cannot be used here ({one_line(error)}): give {', '.join(_SPREAD)} or a "
            "device such as cpu or cuda:0"
        ) from error


def _attempt(
    settings: Settings, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, dtype: str, work: Work
) -> ChatModel | str:
    """One attempt at loading: the model, or why it failed, as a text: an error would refer to what was loaded.

    Raises:
        UsageError: for what no other dtype makes better.
        Aborted: from the control.
    """
    try:
        with bars_as_progress(work):
            network, info = _network(settings, config, dtype, _placement(settings, config, dtype, work))
        left_out = refuse_misfit(network, Report.of(network, info))
        _refuse_offloaded(network, settings.quantization)
        set_products(network)
        fine, post_norms = settings.component_kinds == "fine", settings.account_for_post_norm
        model = ChatModel(network, tokenizer, work, fine, post_norms)
        _refuse_blank(network, model.anatomy.layers)
        _one_token_test(model)
        find_capabilities(model, work)
    except (UsageError, Aborted):
        raise
    except Exception as error:
        if isinstance(error, OSError):
            raise UsageError(unavailable(settings, error)) from error
        if any(said in str(error) for said in ("dispatched on the CPU or the disk", "offload_folder")):
            # What transformers says of weights that do not fit and are quantised, or converted when they are read.
            raise UsageError(_too_large("the weights do not", settings.quantization)) from error
        log.info("loading as %s failed", dtype, exc_info=True)
        hint = f" (out of memory: try {fewer_bits(settings.quantization)})" if is_out_of_memory(error) else ""
        return f"{one_line(error)}{hint}"
    if left_out:
        names = few(left_out)
        work.note(f"{type(network).__name__} leaves out {len(left_out)} tensors of the weights: {names}")
    model.stored_bytes = sum(path.stat().st_size for path in weight_files(source_folder(settings)))
    if packing := packing_of(config):
        model.stored_as = packing.title
        work.note(opened_words(model.describe(settings.quantization)))
    return model


def _network(
    settings: Settings, config: PretrainedConfig, dtype: str, placement: Mapping[str, object]
) -> tuple[PreTrainedModel, LoadingInfo]:
    if packing := packing_of(config):
        return load_dequantised(settings, config, packing, dtype, placement)
    return with_report(model_class(config))(
        locate(settings.model),
        dtype=dtype,
        # They are refused by name.
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **placement,
        **hub_options(settings),
    )


# Ways to spread layers over all devices.
_SPREAD = ("auto", "balanced", "balanced_low_0", "sequential")


def _placement(settings: Settings, config: PretrainedConfig, dtype: str, work: Work) -> dict[str, object]:
    options: dict[str, object] = {}
    if settings.quantization == "bnb_8bit":
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    elif settings.quantization == "bnb_4bit":
        whole = None if torch.accelerator.is_available() else _odd_matrices(settings, config, work)
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if dtype == "auto" else getattr(torch, dtype),
            llm_int8_skip_modules=whole,
        )
    # Without an accelerator there is nothing to spread over, and accelerate's hooks would cost time on every call.
    if torch.accelerator.is_available() or settings.device_map != "auto":
        options["device_map"] = settings.device_map
        if settings.max_memory:
            options["max_memory"] = {int(k) if k.isdigit() else k: v for k, v in settings.max_memory.items()}
    return options


def _odd_matrices(settings: Settings, config: PretrainedConfig, work: Work) -> list[str] | None:
    """What is left unquantised on a CPU: what bitsandbytes would leave by itself, and matrices that it opens wrongly.
    None where there are none of the latter."""
    network = build_empty(config, settings.trust_remote_code)
    matrices = taken(network)
    odd = [name for name, (_, columns) in matrices.items() if columns % _CPU_COLUMNS]
    if not odd:
        return None
    work.note(
        f"{len(odd)} of {len(matrices)} matrices are left unquantised, such as {odd[0]}: on a CPU "
        f"bitsandbytes takes columns in multiples of {_CPU_COLUMNS}",
        "warning",
    )
    return [*usually_left(network), *(f"^{re.escape(name)}$" for name in odd)]


def _refuse_offloaded(network: torch.nn.Module, quantization: str) -> None:
    offloaded = sum(p.device.type == "meta" for p in network.parameters())
    if offloaded:
        raise UsageError(_too_large(f"{offloaded} weights do not", quantization))


def _too_large(what: str, quantization: str) -> str:
    return (
        f"{what} fit on the devices and would be swapped in and out: use {fewer_bits(quantization)}, or raise "
        "--max-memory"
    )


def refuse_broken(network: torch.nn.Module) -> None:
    """For a model whose logits are not finite: no other dtype helps where its weights are not finite either.

    Raises:
        UsageError: naming the weights that hold NaN or infinity.
    """
    if broken := weights_not_finite(network):
        raise UsageError(
            f"the weights hold what is no number (NaN or infinity), in {few(broken)}: they were damaged on the way, or "
            "in training or merging; take another copy or version of the model"
        )


def _refuse_blank(network: torch.nn.Module, layers: Iterable[torch.nn.Module]) -> None:
    """Check that the weights were filled in: a download that ended early may have reserved its space, as zeros.

    Raises:
        UsageError: when all matrices of a layer, or the embedding, hold nothing but zeros.
    """
    blank = [f"layer {at}" for at, layer in enumerate(layers) if _is_blank(layer)]
    if _is_blank(network.get_input_embeddings()):  # type: ignore[operator]
        blank.insert(0, "the embedding")
    if blank:
        raise UsageError(
            f"the weights hold nothing but zeros in {few(blank)}: their file is not whole; download the model again"
        )


def _is_blank(module: torch.nn.Module) -> bool:
    whole = (weight for weight in module.parameters() if weight.ndim > 1 and weight.is_floating_point())
    opened = (whole_matrix(child) for child in module.modules() if isinstance(child, torch.nn.Linear))
    matrices = chain(whole, (weight for weight in opened if weight is not None))
    some = False
    for weight in matrices:
        some = True
        # Nearly always the first row of the first tells.
        if weight[:1].any() or weight.any():
            return False
    return some


def _one_token_test(model: ChatModel) -> None:
    batch = model.batch([0], model.encode([Prompt("Hello", "")]))
    with torch.inference_mode():
        logits = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
    if not torch.isfinite(logits).any() or torch.isnan(logits).any():
        refuse_broken(model.network)
        raise FloatingPointError("the model's logits are not finite numbers")

"""A checkpoint that is quantised already, loaded with its weights opened: on any device, without a kernel for its
format."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel

from heretic_tui.engine.checkpoint.misfit import LoadingInfo, build_empty, with_report
from heretic_tui.engine.checkpoint.opened import Unread, opened
from heretic_tui.engine.checkpoint.packing import Packing, unpacked
from heretic_tui.engine.checkpoint.source import locate, source_folder
from heretic_tui.engine.checkpoint.stored import stored_tensors
from heretic_tui.events import ModelLoaded
from heretic_tui.settings.schema import Settings
from heretic_tui.words import bits_of, size_words


def load_dequantised(
    settings: Settings, config: PretrainedConfig, packing: Packing, dtype: str, options: Mapping[str, object]
) -> tuple[PreTrainedModel, LoadingInfo]:
    """Load as transformers loads an unquantised model: each matrix is opened when its turn comes.

    Args:
        dtype: an entry of the setting `dtypes`.
        options: of `from_pretrained`: where it is placed, and whether it is quantised anew.
    """
    folder, plain = source_folder(settings), unpacked(config)
    wanted: torch.dtype = packing.dtype if dtype == "auto" else getattr(torch, dtype)
    tensors = opened(stored_tensors(folder), packing)
    cls = type(build_empty(plain, settings.trust_remote_code))
    network, info = with_report(cls)(
        None,
        config=plain,
        state_dict={name: Unread(held, wanted) for name, held in tensors.items()},
        dtype=wanted,
        # They are refused by name.
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **options,
    )
    # What `from_pretrained` reads beside the weights, where it is given a place.
    network.config.name_or_path = network.name_or_path = locate(settings.model)
    if (folder / "generation_config.json").is_file():
        network.generation_config = GenerationConfig.from_pretrained(folder)
    return network, info


def opened_words(model: ModelLoaded) -> str:
    """What became of a quantised checkpoint in memory."""
    loaded = f"as {model.dtype}" if model.quantization == "none" else f"in {bits_of(model.quantization)} bits"
    stored = f"stored as {model.stored_as} ({size_words(model.stored_bytes)})"
    return f"{stored}, loaded {loaded} ({size_words(model.weight_bytes)})"

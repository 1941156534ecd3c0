"""The configuration of an export whose source is quantised: what is in 16 bits now is said to be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from transformers.quantizers.base import get_keys_to_not_convert

from heretic_tui.engine.export.streamed import StreamedMerge
from heretic_tui.files import read_json

# Two names of one list: transformers and vLLM know both.
_LISTS = ("modules_to_not_convert", "ignored_layers")


def config_text(source: Path, plan: StreamedMerge, network: PreTrainedModel) -> str:
    """config.json for the files of a plan, from that of the source."""
    record: Any = read_json(source)
    for part in (record, *(each for each in record.values() if isinstance(each, dict))):
        said = part.get("quantization_config")
        if not isinstance(said, dict):
            continue
        if plan.quantised:
            _leave_out(said, plan.units, network)
        else:
            del part["quantization_config"]
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def _leave_out(said: dict[str, Any], units: Sequence[str], network: PreTrainedModel) -> None:
    lists = [name for name in _LISTS if isinstance(said.get(name), list)]
    for name in lists or _LISTS[:1]:
        # Where there is no list transformers leaves out the head, and where there is one only what it names.
        before = said[name] if lists else sorted(get_keys_to_not_convert(network))
        said[name] = [*before, *(unit for unit in units if unit not in before)]

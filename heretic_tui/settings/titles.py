"""What settings and their values are called where people set them up: "harmless prompts (train)", "drawn at start"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from heretic_tui.bounds import range_text
from heretic_tui.settings.markers import LANGUAGE_NAMES
from heretic_tui.settings.prompt_sets import KEPT_SET
from heretic_tui.words import counted

_SETS = {
    "good_prompts": "harmless prompts (train)",
    "bad_prompts": "harmful prompts (train)",
    "good_evaluation_prompts": "harmless prompts (eval)",
    "bad_evaluation_prompts": "harmful prompts (eval)",
    "review_good_prompts": "held-out harmless",
    "review_bad_prompts": "held-out harmful",
    "review_lookalike_prompts": "look-alike prompts",
    "review_texts": "texts for perplexity",
}
_PARTS = {
    "commit": "version",
    "split": "split",
    "column": "column",
    "prefix": "text before each",
    "suffix": "text behind each",
    "system_prompt": "system prompt",
}
_TITLES = {
    **_SETS,
    "model": "model",
    "model_commit": "version of the model",
    "dtypes": "precision",
    "quantization": "quantization",
    "device_map": "device map",
    "max_memory": "memory limits",
    "trust_remote_code": "run the model's own code",
    "system_prompt": "system prompt",
    "max_response_length": "response length, tokens",
    "response_prefix": "response prefix",
    "chain_of_thought_skips": "thinking blocks closed",
    "behaviour": "behaviour",
    "judge": "judge",
    "refusal_markers": "refusal markers",
    "refusal_languages": "languages of refusals",
    "count_broken_as_refused": "count broken as refused",
    "steer": "the direction is",
    "direction_method": "direction method",
    "directions_per_layer": "directions of a layer",
    "keep_prompts": "prompts to keep",
    "direction_file": "file of directions",
    "layer_mask": "layers with both sides",
    "orthogonalize_direction": "orthogonalize direction",
    "direction_weights": "weights of directions",
    "edit_method": "edit method",
    "component_kinds": "kernels",
    "account_for_post_norm": "account for norms behind",
    "full_normalization_lora_rank": "rank of a plain LoRA",
    "winsorization_quantile": "winsorization quantile",
    "keep_residuals": "keep residuals",
    "layer_test_prompts": "prompts to test layers on",
    "objectives": "objectives",
    "figures": "further figures",
    "n_trials": "number of trials",
    "n_startup_trials": "random trials first",
    "seed": "seed",
    "search_space": "search space",
    "search_bounds": "bounds of their own",
    "seed_trials": "trials measured first",
    "on_top_of": "on top of the edit",
    "early_stop": "early stop",
    "screening": "screening",
    "storage": "trials are stored in",
    "review_checks": "checks",
    "review_language_column": "column of languages",
    "review_expected_column": "column of verdicts",
    "review_samples": "drawn answers a prompt",
    "review_kl_tokens": "tokens of KL divergence",
    "review_classifier": "classifier",
    "review_classifier_labels": "labels of the classifier",
    "review_classifier_reads": "the classifier reads",
    "review_endpoint": "endpoint",
    "review_endpoint_model": "model of the endpoint",
    "review_endpoint_key": "variable with its key",
    "review_endpoint_requests": "requests at once",
    "review_tasks": "benchmarks",
    "review_task_folder": "folder of further tasks",
    "review_task_chat": "tasks in the chat template",
    "batch_size": "batch size",
    "max_batch_size": "largest batch size",
    "trials_at_once": "trials at once",
    "workers": "workers",
    "worker_gpus": "GPUs of a worker",
    "ray_address": "Ray cluster",
    "runs_dir": "folder of runs",
    "max_shard_size": "largest weight file",
}
# In place of an unset value (None), an empty text or list, numbers that stand for no number, and choices whose names
# alone say little.
_IN_PLACE: Mapping[tuple[str, object], str] = {
    ("model", ""): "not chosen",
    ("model_commit", None): "the newest",
    ("max_memory", None): "all there is",
    ("system_prompt", ""): "none",
    ("response_prefix", None): "found at start",
    ("response_prefix", ""): "none",
    ("layer_test_prompts", 0): "none",
    ("seed", None): "drawn at start",
    ("screening", "off"): "off (every trial is decoded)",
    ("screening", "safe"): "safe (within 2 std. errors)",
    ("screening", "fast"): "fast (within 1 std. error)",
    ("storage", None): "the run folder",
    ("steer", "remove"): "taken out",
    ("steer", "add"): "added (weights below 0)",
    ("layer_mask", False): "off (any layer)",
    ("batch_size", 0): "auto",
    ("trials_at_once", 0): "auto",
    ("workers", "0"): "none (this process)",
    ("workers", "auto"): "one for each GPU",
    ("ray_address", None): "this machine",
    ("review_good_prompts", ""): "the rest of the data sets",
    ("review_bad_prompts", ""): "the rest of the data sets",
    ("review_expected_column", None): "found by its name",
    ("commit", None): "the newest",
    ("split", None): "all of it",
    ("column", None): "text, or the only one",
    ("prefix", ""): "none",
    ("suffix", ""): "none",
    ("part:system_prompt", None): "as for all",
    ("part:system_prompt", ""): "none",
}


def title_of(key: str) -> str:
    """What a setting is called, or a part of a prompt set: `good_prompts.split` is "split"; a set of prompts to keep by
    its data set, or by the name of its file."""
    if key.startswith(KEPT_SET):
        text = key.removeprefix(KEPT_SET)
        return PurePath(text).name if PurePath(text).is_absolute() else text
    name, _, part = key.partition(".")
    return _PARTS.get(part, part) if part else _TITLES.get(name, name.replace("_", " "))


def whole_title(key: str) -> str:
    """The same as a sentence names it: "split of the harmful prompts (train)"."""
    name, _, part = key.partition(".")
    return f"{title_of(key)} of the {title_of(name)}" if part else title_of(name)


def with_titles(text: str) -> str:
    """A sentence that names prompt sets by their settings, with what people call them: bad_evaluation_prompts is the
    harmful prompts (eval)."""
    return re.sub("|".join(_SETS), lambda found: _SETS[found[0]], text)


def value_words(key: str, value: object) -> str | None:
    """A value in words, where its text as it is typed would say less; None where it is its own best word."""
    name, _, part = key.partition(".")
    place = ("part:" if part == "system_prompt" else "") + (part or name)
    match value:
        case bool():
            return "on" if value else "off"
        case None | "":
            return _IN_PLACE.get((place, value), "none")
        case 0 | str():
            return _IN_PLACE.get((place, value))
        case dict() if name == "search_bounds":
            return ", ".join(f"{bound} {range_text(found)}" for bound, found in value.items()) or "those of the space"
        case dict():
            return ", ".join(f"{device}: {amount}" for device, amount in value.items()) or "none"
        case list():
            return _list_words(name, value)
    return None


def _list_words(name: str, items: Sequence[object]) -> str:
    if name == "refusal_markers":
        return counted(len(items), "marker")
    if name == "refusal_languages":
        return ", ".join(LANGUAGE_NAMES.get(str(item), str(item)) for item in items) or "none further"
    if name == "review_checks":
        return f"{len(items)}: {', '.join(str(item).replace('_', ' ') for item in items)}"
    if name == "chain_of_thought_skips":
        return counted(len(items), "kind")
    if name == "dtypes":
        first, *others = map(_dtype, items)
        return f"{first}, else {', '.join(others)}" if others else first
    return ", ".join(map(str, items)) or "none"


def _dtype(name: object) -> str:
    return "as stored" if name == "auto" else str(name)

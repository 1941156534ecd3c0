"""Which settings decide what a run finds, so that with the same ones it is the same run."""

from __future__ import annotations

from heretic_tui.settings.older import in_first_words
from heretic_tui.settings.prompt_sets import DEFAULT_SETS
from heretic_tui.settings.schema import Settings, of_reviews

# What says where things lie or how a run is computed, but not what it computes: raising the number of trials, moving
# the model's folder, or going on with another GPU, is the same run. Model and prompts are known by their content.
_NOT_IDENTITY = frozenset(
    {"model", "model_commit", *DEFAULT_SETS, "n_trials", "runs_dir", "storage", "max_shard_size", "device_map"}
    | {"max_memory", "batch_size", "max_batch_size", "trials_at_once", "keep_residuals", "layer_test_prompts"}
    | {"figures", "workers", "worker_gpus", "ray_address", "keep_prompts", "direction_file", "seed_trials"}
    | {"on_top_of"}
)


def deciding(settings: Settings) -> dict[str, object]:
    """The settings that decide results, as plain JSON."""
    review = {name for name in Settings.model_fields if of_reviews(name)}
    return settings.model_dump(mode="json", exclude={*_NOT_IDENTITY, *review})


def identity(settings: Settings) -> dict[str, object]:
    """The same in the words of the first version, which a run's identity is made of: with the same model and prompts,
    two runs with the same ones are the same run."""
    return in_first_words(deciding(settings))

"""The settings of the demo: its model, its prompt sets, and fewer trials."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
MODEL = FOLDER / "model"
PROMPTS = FOLDER / "prompts"


def settings_of_the_demo() -> dict[str, object]:
    """What differs from the general defaults, for `heretic_tui.settings.sources.load_settings`."""
    sets = {
        "good_prompts": "good_train",
        "bad_prompts": "bad_train",
        "good_evaluation_prompts": "good_eval",
        "bad_evaluation_prompts": "bad_eval",
        "review_good_prompts": "good_review",
        "review_bad_prompts": "bad_review",
    }
    return {
        "model": str(MODEL),
        # On a GPU or without one, the figures are the same.
        "dtypes": ["float32"],
        **{name: {"dataset": str(PROMPTS / f"{file}.jsonl"), "column": "text"} for name, file in sets.items()},
        "n_trials": 60,
        "n_startup_trials": 20,
    }

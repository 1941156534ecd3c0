"""Sets of prompts: where one comes from, which there are, and which of them a run is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

# What files of prompts are called, and of what kind they are by that.
PROMPT_FILES = (".txt", ".json", ".jsonl", ".csv", ".tsv", ".parquet")


class PromptSet(BaseModel):
    """Where one set of prompts comes from and what is put around each prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = Field(description=f"Hub dataset, folder or file ({', '.join(PROMPT_FILES)})")
    commit: str | None = Field(None, description="commit, branch or tag of a Hub dataset")
    split: str | None = Field(None, description="split and slice, such as train[:400] or [:50]; unset: all of a file")
    column: str | None = Field(None, description="column that holds the prompts; unset: text, or the only one")
    prefix: str = Field("", description="text before every prompt")
    suffix: str = Field("", description="text behind every prompt")
    system_prompt: str | None = Field(None, description="system prompt for this set; unset: the general one")


_GOOD, _BAD = "mlabonne/harmless_alpaca", "mlabonne/harmful_behaviors"
DEFAULT_SETS = {
    "good_prompts": PromptSet(dataset=_GOOD, split="train[:400]", column="text"),
    "bad_prompts": PromptSet(dataset=_BAD, split="train[:400]", column="text"),
    "good_evaluation_prompts": PromptSet(dataset=_GOOD, split="test[:100]", column="text"),
    "bad_evaluation_prompts": PromptSet(dataset=_BAD, split="test[:100]", column="text"),
    # Without a data set: what the sets above leave of theirs, as many as the slice says.
    "review_good_prompts": PromptSet(dataset="", split="[:100]"),
    "review_bad_prompts": PromptSet(dataset="", split="[:100]"),
    # Without a data set there are none.
    "review_lookalike_prompts": PromptSet(dataset=""),
    "review_texts": PromptSet(dataset=""),
}
# How prompt sets of the setting `keep_prompts` are called among the others: this and the data set.
KEPT_SET = "keep_prompts: "
# What a run is made of; without the others it goes on.
RUN_SETS = tuple(name for name, each in DEFAULT_SETS.items() if each.dataset)

"""Tasks of lm-evaluation-harness that a test writes, with answers that are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from tests.support import tiny_models
from tests.support.likelihoods import log_likelihood

QUESTIONS = [f"Question {number}: what is in jar {number * 7 % 10}?\nAnswer:" for number in range(20)]
WORDS = ["salt", "rice", "milk", "honey", "tea", "sugar", "oil", "flour", "jam", "water", "beans", "wine", "dust"]
# Each question has others, of about one length: a network that knows no words prefers the shortest.
CHOICES = [[WORDS[(number * 4 + place * 3) % len(WORDS)] for place in range(4)] for number in range(20)]
RIGHT = 15


def write_task(folder: Path, name: str, rows: Sequence[Mapping[str, object]], **config: object) -> None:
    """A task as the harness describes it: a YAML file, and its items in a JSONL file beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    # What the library makes of the items stays in the test's folder.
    data = {"data_files": {"test": f"{name}.jsonl"}, "cache_dir": str(folder / "cache")}
    whole = {"task": name, "dataset_path": "json", "dataset_kwargs": data, "test_split": "test", **config}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")


def by_bytes(text: str) -> list[int]:
    """Tokens of the tiny models."""
    tokens: list[int] = tiny_models.tokenizer()(text, add_special_tokens=False)["input_ids"]
    return tokens


def best_choices(
    network: object,
    questions: Sequence[str] = QUESTIONS,
    by_length: bool = False,
    blank: str = " ",
    tokens: Callable[[str], list[int]] = by_bytes,
) -> list[int]:
    """The places of the answers that a network gives, by plain passes of transformers."""
    best = []
    for question, choices in zip(questions, CHOICES, strict=True):
        values = []
        for choice in choices:
            following = tokens(blank + choice)
            value, _ = log_likelihood(network, [*tokens(question), *following], len(following))
            values.append(value / (len(choice) if by_length else 1))
        best.append(int(np.argmax(values)))
    return best


def write_choices(
    folder: Path,
    network: object,
    name: str = "jars",
    tokens: Callable[[str], list[int]] = by_bytes,
    **config: object,
) -> list[int]:
    """Questions of which a network answers the first `RIGHT` as they want it, and the others otherwise. Returns the
    places of the answers that are wanted."""
    best = best_choices(network, tokens=tokens)
    wanted = [each if place < RIGHT else (each + 1) % 4 for place, each in enumerate(best)]
    rows = [
        {"question": question, "choices": choices, "gold": gold}
        for question, choices, gold in zip(QUESTIONS, CHOICES, wanted, strict=True)
    ]
    metrics = [{"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in ("acc", "acc_norm")]
    parts = {"doc_to_text": "question", "doc_to_choice": "choices", "doc_to_target": "gold", "metric_list": metrics}
    write_task(folder, name, rows, output_type="multiple_choice", **{**parts, **config})
    return wanted

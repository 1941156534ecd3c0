"""Trials that a search begins with, as they stand in files, runs and model cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heretic_tui.errors import UsageError
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.seeds import BUILT_IN, Seed, card_parameters, keep_seeds, read_seeds, seeds_of_run

CARD = """---
base_model: acme/guarded-8b
---
# This is a decensored version of acme/guarded-8b

## Abliteration parameters

| Parameter | Value |
| :-------- | :---: |
| **direction_index** | 19.10 |
| **attn.o_proj.max_weight** | 1.20 |
| **attn.o_proj.max_weight_position** | 24.37 |
| **attn.o_proj.min_weight** | 0.72 |
| **attn.o_proj.min_weight_distance** | 14.46 |
| `mlp.down_proj.max_weight` | 0.83 |
| mlp.down_proj.max_weight_position | 21.00 |
| mlp.down_proj.min_weight | 0.11 |
| mlp.down_proj.min_weight_distance | 9.50 |

## Performance

| Metric | This model | Original model |
| :----- | :--------: | :---: |
| **KL divergence** | 0.16 | 0 |
"""
EDIT: dict[str, Any] = {
    "direction_index": None,
    "components": {
        "attn.o_proj": {
            "max_weight": 1.2,
            "max_weight_position": 20,
            "min_weight": 0.5,
            "min_weight_distance": 9,
        }
    },
}


def test_a_card_of_heretic_is_read() -> None:
    found = card_parameters(CARD, "README.md")
    assert found == Parameters(
        19.1,
        {"attn.o_proj": Kernel(1.2, 24.37, 0.72, 14.46), "mlp.down_proj": Kernel(0.83, 21.0, 0.11, 9.5)},
    )
    per_layer = card_parameters(CARD.replace("19.10", "per layer"), "README.md")
    assert per_layer.direction_index is None
    assert per_layer.components == found.components


def test_a_card_of_ours_is_read() -> None:
    text = f"# x\n\n## Parameters\n\n```json\n{json.dumps(EDIT, indent=1)}\n```\n\nDirections: each layer's own.\n"
    assert card_parameters(text, "README.md") == Parameters.from_json(EDIT)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# nothing", "README.md: no table with direction_index"),
        (CARD.replace("1.20", "much"), "README.md: attn.o_proj.max_weight: expected a number, not 'much'"),
        (CARD.replace("| 14.46 |", "| nan |"), "README.md: 'attn.o_proj': min_weight_distance must be a finite number"),
        (CARD.replace("| **attn.o_proj.min_weight** | 0.72 |\n", ""), "min_weight is missing"),
        ("## Parameters\n\n```json\n{\n```\n", "README.md"),
        ("## Parameters\n\n```json\n[]\n```\n", "README.md: expected the parameters of an edit"),
    ],
)
def test_a_card_without_whole_parameters_is_refused_in_a_line(text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        card_parameters(text, "README.md")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(EDIT))
    (tmp_path / "two.json").write_text(json.dumps([EDIT, {**EDIT, "direction_index": 7}]))
    published = tmp_path / "published"
    published.mkdir()
    (published / "README.md").write_text(CARD)
    named = [str(tmp_path / "one.json"), str(tmp_path / "two.json"), BUILT_IN, str(published)]
    found = read_seeds(named, tmp_path / "runs")
    assert [seed.origin for seed in found] == [
        *("one.json", "two.json, number 1", "two.json, number 2", "built-in", "published/README.md")
    ]
    assert found[2].parameters is not None
    assert found[2].parameters.direction_index == 7
    assert found[3].parameters is None
    assert str(tmp_path) not in repr(found), "a record that is passed on says nothing of this machine"


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("none.json", "seed_trials: {}/none.json: no such file"),
        ("empty", "holds no run.json, reproduce.json or README.md"),
        ("bad.json", "bad.json: expected the parameters of an edit, not 3"),
        ("torn.json", "torn.json"),
        ("unknown.json", "unknown key 'colour'"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_line(named: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text("3")
    (tmp_path / "torn.json").write_text("{")
    (tmp_path / "unknown.json").write_text(json.dumps({**EDIT, "colour": 1}))
    with pytest.raises(UsageError) as raised:
        read_seeds([str(tmp_path / named)], tmp_path)
    assert said.format(tmp_path) in str(raised.value)
    with pytest.raises(UsageError, match="no run nowhere"):
        read_seeds(["run:nowhere"], tmp_path)


def test_a_run_keeps_what_it_read(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text(json.dumps(EDIT))
    folder = RunFolder(tmp_path / "run")
    folder.create()
    read = seeds_of_run(folder, [str(file), BUILT_IN], tmp_path)
    keep_seeds(folder, [*read, Seed("other, trial 3", Parameters.from_json(EDIT), 28)])
    file.write_text(json.dumps({**EDIT, "direction_index": 3}))
    kept = seeds_of_run(folder, [str(file), BUILT_IN], tmp_path)
    assert kept == [*read, Seed("other, trial 3", Parameters.from_json(EDIT), 28)]
    folder.seed_trials.write_text('[{"origin": 3}]')
    with pytest.raises(UsageError, match=r"seed_trials\.json is damaged"):
        seeds_of_run(folder, [BUILT_IN], tmp_path)

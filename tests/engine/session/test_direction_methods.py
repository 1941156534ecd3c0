"""A run with several direction methods and a mask of layers, from the command line to files that are built again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import PretrainedConfig, PreTrainedModel

from heretic_tui.engine.anatomy import inspect
from heretic_tui.engine.checkpoint.misfit import build_empty
from heretic_tui.parameters import Kernel, Parameters
from tests.support.commands import Ended

Heretic = Callable[..., Ended]
SMALL = [
    "--good-prompts.split", "[:40]", "--bad-prompts.split", "[:40]", "--good-evaluation-prompts.split", "[:12]",
    "--bad-evaluation-prompts.split", "[:12]", "--layer-test-prompts", "4", "--seed", "0", "--batch-size", "12",
    "--max-response-length", "12", "--screening", "off",
]  # fmt: skip
METHODS = ["mean_difference", "clusters", "leace"]


def test_a_search_over_methods_names_them_wherever_a_trial_is_shown(heretic: Heretic, tmp_path: Path) -> None:
    flags = [*SMALL, "--direction-method", *METHODS, "--directions-per-layer", "2"]
    done = heretic("demo", "--json", "--n-trials", "8", *flags)
    assert done.status == 0, done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    (directions,) = (event for event in events if event["type"] == "directions_found")
    assert directions["method"] == "mean_difference"
    (analysed,) = (event for event in events if event["type"] == "layers_analysed")
    others = {"clusters", "leace"}
    assert set(directions["others"]) == set(analysed["others"]) == others
    for name in others:
        rows = analysed["others"][name]
        assert len(rows) == len(directions["others"][name]["separations"]) == 11
        assert all(0 <= row["auc"] <= 1 and row["raises"] for row in rows[1:])
        assert all(isinstance(row[effect], float) for row in rows[1:] for effect in ("edit", "stream", "add"))
        assert rows[7]["stream"] != analysed["layers"][7]["stream"]
    assert [len(row.get("directions", [])) for row in (*analysed["others"]["clusters"], analysed["layers"][1])] == [
        *[2] * 11,
        0,
    ]
    told = [event for event in events if event["type"] == "progress" and event["stage"].startswith("each layer by")]
    assert told[-1]["stage"] == "each layer by itself, for each of 3 direction methods"
    # Ten layers, three methods, twice the refused prompts and once the answered ones.
    assert told[-1]["done"] == told[-1]["total"] == 10 * 3 * (2 * 4 + 4)
    asked = {
        event["number"]: event["parameters"]["direction_method"] for event in events if event["type"] == "trial_started"
    }
    assert set(asked.values()) == set(METHODS), "eight at random are of all three"
    (run,) = (path.name for path in (tmp_path / "runs").iterdir() if path.is_dir())
    shown = json.loads(heretic("show", run, "--json").out)
    assert {trial["number"]: trial["direction_method"] for trial in shown["trials"]} == asked
    asked_of_each_method(heretic, run, analysed)
    trial = next(number for number, method in asked.items() if method == "leace")
    done = heretic("export", run, "--trial", str(trial), tmp_path / "out")
    assert done.status == 0, done.err
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "Directions: `leace`, the least change" in card
    assert "(the search chose among `mean_difference`, `clusters`, `leace`)" in card
    record = json.loads((tmp_path / "out" / "reproduce.json").read_text(encoding="utf-8"))
    assert record["parameters"]["direction_method"] == "leace"
    done = heretic("reproduce", tmp_path / "out" / "reproduce.json", tmp_path / "again", runs_dir=None)
    assert done.status == 0, done.err + done.out
    # The same command goes on with the same run.
    done = heretic("demo", "--lines", "--n-trials", "9", *flags)
    assert "resumed, 8 of 9 trials done" in done.out, done.err


def asked_of_each_method(heretic: Heretic, run: str, analysed: dict[str, Any]) -> None:
    """`geometry`, `tokens` and `plot` of one of the methods, and of one that the run does not have."""
    lines = heretic("geometry", run, "--method", "leace").out.splitlines()
    assert lines[0] == "Directions of leace (--method shows those of mean_difference, clusters)."
    rows = list(csv.DictReader(io.StringIO(heretic("geometry", run, "--csv", "--method", "leace").out)))
    assert [row["stream"] for row in rows[1:]] == [str(row["stream"]) for row in analysed["others"]["leace"][1:]]
    assert rows[3]["|g|"] == str(analysed["layers"][3]["|g|"]), "the geometry is that of the prompts"
    record = json.loads(heretic("geometry", run, "--json").out)
    assert record["others"] == analysed["others"]
    assert set(record["other_findings"]) == {"clusters", "leace"}
    said = heretic("tokens", run, "--method", "clusters", "--count", "1").out
    assert "Each layer has 2 directions: first the mean difference within their space, then each." in said
    assert "\n  9.2  promotes    " in said
    first = json.loads(heretic("tokens", run, "--json").out)[-1]
    assert first["others"]["leace"]["raises"] == analysed["others"]["leace"][-1]["raises"]
    assert len(first["others"]["clusters"]["directions"]) == 2
    done = heretic("plot", run, "--method", "leace", "--layers", "8", "--no-animation")
    assert done.status == 0, done.err
    for command in ("geometry", "tokens", "plot"):
        done = heretic(command, run, "--method", "ridge")
        assert done.status == 2
        assert "--method 'ridge'" in done.err
        assert "mean_difference, clusters, leace" in done.err
        assert done.err.count("\n") == 1


def test_a_mask_and_a_file_of_directions(heretic: Heretic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = heretic("demo", "--json", "--n-trials", "1", *SMALL, "--layer-mask")
    assert done.status == 0, done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    (directions,) = (event for event in events if event["type"] == "directions_found")
    assert all(0 <= layer < 10 for layer in directions["left_alone"])
    (folder,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    file = folder / "directions.safetensors"
    flags = ["--direction-method", "from_file", "--direction-file", file]
    done = heretic("demo", "--lines", "--n-trials", "1", *SMALL, *flags)
    assert done.status == 0, done.err
    done = heretic("demo", "--lines", "--n-trials", "1", *SMALL, "--direction-method", "from_file")
    assert done.status == 2
    assert "the direction method from_file needs --direction-file" in done.err
    done = heretic("demo", "--lines", *SMALL, "--direction-method", "from_file", "--direction-file", tmp_path / "none")
    assert done.status == 2
    assert "no such file" in done.err
    other = tmp_path / "other.safetensors"
    save_file({"directions": torch.ones(7, 1, 64)}, other)
    runs, looks = sorted((tmp_path / "runs").iterdir()), []
    kernel, edit = Kernel(1.0, 8.0, 0.5, 3.0), tmp_path / "edit.json"
    edit.write_text(json.dumps(Parameters(None, {"attn.o_proj": kernel, "mlp.down_proj": kernel}).to_json()))

    def counted(config: PretrainedConfig, trust_remote_code: bool) -> PreTrainedModel:
        looks.append(config)
        return build_empty(config, trust_remote_code)

    monkeypatch.setattr(inspect, "build_empty", counted)
    flags = [*SMALL, "--direction-method", "from_file", "--direction-file", other, "--seed-trials", edit]
    done = heretic("demo", "--lines", *flags)
    assert len(looks) == 1, "one look serves the trials and the file"
    assert done.status == 2
    assert "holds a tensor of (7, 1, 64): this model needs" in done.err
    assert sorted((tmp_path / "runs").iterdir()) == runs, "it is told before anything is made"


def test_prompts_to_keep_are_read_and_are_part_of_what_makes_a_run(heretic: Heretic, tmp_path: Path) -> None:
    maths = tmp_path / "maths.txt"
    maths.write_text("\n".join(f"What is {number} times {number + 3}?" for number in range(12)) + "\n")
    flags = [*SMALL, "--direction-method", "ridge_cleaned", "--keep-prompts", maths]
    done = heretic("demo", "--lines", "--n-trials", "1", *flags)
    assert done.status == 0, done.err
    maths.write_text("What is a prime number?\nHow does one add two fractions?\n")
    done = heretic("demo", "--lines", "--n-trials", "1", *flags)
    assert done.status == 0, done.err
    runs = [path for path in (tmp_path / "runs").iterdir() if path.is_dir()]
    assert len(runs) == 2, "other prompts, another run"
    latest = max(runs, key=lambda path: (path / "run.json").stat().st_mtime_ns)
    assert heretic("export", latest.name, "--trial", "0", tmp_path / "out").status == 0
    record = tmp_path / "out" / "reproduce.json"
    assert str(tmp_path) not in record.read_text(encoding="utf-8"), "a record names no file"
    copy = tmp_path / "elsewhere.txt"
    maths.rename(copy)
    done = heretic("reproduce", record, tmp_path / "again", runs_dir=None)
    assert done.status == 2
    assert "say where they lie with --keep-prompts" in done.err
    done = heretic("reproduce", record, tmp_path / "again", "--keep-prompts", copy, runs_dir=None)
    assert done.status == 0, done.err + done.out
    assert "not those of the export" not in done.err, "the same prompts, wherever they lie"

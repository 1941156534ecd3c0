"""`geometry` and `tokens` on a finished run of the demo."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from heretic_tui.layer_figures import GEOMETRY_COLUMNS
from tests.support.commands import Ended

GOLDEN = Path(__file__).parents[1] / "golden" / "demo_geometry.json"
Heretic = Callable[..., Ended]


def test_the_demos_geometry_is_the_golden_one(heretic: Heretic, run: Path) -> None:
    done = heretic("geometry", run.name, "--json")
    assert done.status == 0, done.err
    found, golden = json.loads(done.out), json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert found["prompts"] == golden["prompts"]
    for row, expected in zip(found["layers"], golden["layers"], strict=True):
        for name in GEOMETRY_COLUMNS:
            # Lengths by their size, the others as they are: residuals are rounded to half precision.
            assert row[name] == pytest.approx(expected[name], rel=2e-3, abs=2e-3), (row["layer"], name)
        for name in ("auc", "auc_low", "auc_high", "edit", "stream", "add"):
            assert row.get(name) == pytest.approx(expected.get(name), abs=0.02), (row["layer"], name)
        for word in ("raises", "lowers"):
            scores = dict(row[word])
            for token, score in expected[word][:3]:
                assert scores[token] == pytest.approx(score, abs=0.1), (row["layer"], word)
    # Up to the figures, which may be rounded otherwise; older versions said the same in other words.
    assert golden["sentence"].startswith("Refusal lives in layers 6 to 9")
    assert found["finding"][0] == "Refusal is mediated in layers 6-9."
    assert len(found["finding"]) == 5


def test_text_and_csv_say_what_the_json_says(heretic: Heretic, run: Path) -> None:
    record = json.loads(heretic("geometry", run.name, "--json").out)
    rows = list(csv.DictReader(io.StringIO(heretic("geometry", run.name, "--csv").out)))
    assert len(rows) == len(record["layers"]) == 11
    for row, layer in zip(rows, record["layers"], strict=True):
        assert [float(row[name]) for name in GEOMETRY_COLUMNS] == [layer[name] for name in GEOMETRY_COLUMNS]
        assert row["stream"] == ("" if layer["layer"] is None else str(layer["stream"]))
    lines = heretic("geometry", run.name).out.splitlines()
    title, *points = record["finding"]
    assert lines[: len(points) + 1] == [title, *(f"- {point}" for point in points)]
    marked = [line.split() for line in lines if line.endswith("  *")]
    assert len(marked) == 1, "one layer is the best"
    assert f"best layer: {marked[0][0]}," in points[-1]
    header = next(line.split() for line in lines if "S(g*,b*)" in line)
    assert header == ["layer", *GEOMETRY_COLUMNS]


def test_without_model_and_record_the_residuals_are_enough(heretic: Heretic, run: Path) -> None:
    before = json.loads((run / "geometry.json").read_text(encoding="utf-8"))
    (run / "geometry.json").unlink()
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    record["settings"]["model"] = "/nowhere"
    (run / "run.json").write_text(json.dumps(record), encoding="utf-8")
    done = heretic("geometry", run.name, "--json")
    assert done.status == 0, done.err
    for row, known in zip(json.loads(done.out)["layers"], before["layers"], strict=True):
        for name in (*GEOMETRY_COLUMNS, "auc"):
            assert row[name] == pytest.approx(known[name], abs=1e-4)
    (run / "residuals.safetensors").unlink()
    done = heretic("geometry", run.name)
    assert done.status == 2
    assert "keep_residuals" in done.err
    assert done.err.count("\n") == 1


def test_tokens_of_directions_and_of_a_trial(heretic: Heretic, run: Path) -> None:
    said = heretic("tokens", run.name, "--count", "3").out
    assert "'Potions'" in said
    everything = json.loads(heretic("tokens", run.name, "--json").out)
    assert {"'Potions'", "'My'"} <= {repr(token) for token, _ in everything[-1]["raises"]}
    trials = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    strong = min(
        (e for e in trials if e["type"] == "trial_finished" and e["state"] == "complete"),
        key=lambda e: e["figures"]["refusals"],
    )["number"]
    done = heretic("tokens", run.name, "--trial", strong, "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    bad = found["bad_evaluation_prompts"]
    assert bad["lost"][0][0] == "I", "as most refusals of the demo begin"
    assert bad["kl_divergence"] > 10 * found["good_evaluation_prompts"]["kl_divergence"]
    assert len(bad["prompts"]) == 100
    again = heretic("tokens", run.name, "--trial", strong, "--json")
    assert json.loads(again.out) == found, "from the run folder"
    assert "load" not in again.err
    for wrong in (["--trial", "999"], ["--count", "0"]):
        assert heretic("tokens", run.name, *wrong).status == 2

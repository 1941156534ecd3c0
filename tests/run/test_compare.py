"""Two runs' directions side by side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from heretic_tui.engine.tensor_files import keep_tensors
from heretic_tui.run.folder import RunFolder
from tests.support.commands import Ended

Heretic = Callable[..., Ended]


def test_a_run_compared_with_itself_and_with_another(heretic: Heretic, run: Path) -> None:
    other = Path(shutil.copytree(run, run.with_name("other")))
    found = load_file(other / "directions.safetensors")
    found["directions"][5] = -found["directions"][5]
    found["bad_mean"] = found["good_mean"] + 2 * (found["bad_mean"] - found["good_mean"])
    keep_tensors(RunFolder(other), RunFolder(other).directions, found)
    same = json.loads(heretic("compare", run.name, run.name, "--json").out)
    assert [row["cosine"] for row in same["layers"][1:]] == pytest.approx([1] * 10, abs=1e-5)
    assert same["same"] == {"model": True, "prompts": True, "settings": True}
    done = heretic("compare", run.name, "other", "--json")
    assert done.status == 0, done.err
    layers = json.loads(done.out)["layers"]
    assert layers[0]["cosine"] is None, "there is no direction at the embedding of the template's last token"
    assert layers[5]["cosine"] == pytest.approx(-1, abs=1e-5)
    assert [row["length_ratio"] for row in layers[1:]] == pytest.approx([2] * 10, abs=1e-4)
    # The nearest layer of the other run, by hand.
    mine, others = load_file(run / "directions.safetensors")["directions"][:, 0], found["directions"][:, 0]
    between = (mine @ others.T)[8, 1:].abs()
    assert layers[8]["nearest"] == int(between.argmax())
    text = heretic("compare", run.name, "other").out
    assert f"{run.name}" in text
    assert "lowest at layer 4 (-1.000)" in text


def test_runs_that_cannot_be_compared(heretic: Heretic, run: Path) -> None:
    other = Path(shutil.copytree(run, run.with_name("other")))
    found = load_file(other / "directions.safetensors")
    narrow = {name: tensor[..., :64].contiguous() for name, tensor in found.items()}
    keep_tensors(RunFolder(other), RunFolder(other).directions, narrow)
    done = heretic("compare", run.name, "other")
    assert done.status == 2
    assert "10 layers of 64" in done.err
    (other / "directions.safetensors").unlink()
    done = heretic("compare", run.name, "other")
    assert (done.status, "no directions yet" in done.err) == (2, True)
    assert heretic("compare", run.name, "nobody").status == 2

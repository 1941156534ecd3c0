"""geometry, tokens, plot and compare, as a person types them, on a finished run of the demo."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import imageio.v3
import pytest
import torch
from safetensors.torch import load_file

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.analysis.plots import scaled, steps, views_of, write_plots
from heretic_tui.engine.analysis.projections import pacmap_plane
from heretic_tui.engine.directions.residual_store import ResidualStore
from heretic_tui.engine.tensor_files import keep_tensors
from heretic_tui.layer_figures import GEOMETRY
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.results import read_projections
from heretic_tui.work import Work
from tests.support.commands import DemoRun, Ended

GOLDEN = Path(__file__).parents[1] / "golden" / "demo_geometry.json"
Heretic = Callable[..., Ended]


@pytest.fixture
def run(demo_run: DemoRun, tmp_path: Path) -> Path:
    """A copy of the demo's run that a test may change."""
    return Path(shutil.copytree(demo_run.folder, tmp_path / "runs" / demo_run.folder.name))


def test_the_demos_geometry_is_the_golden_one(heretic: Heretic, run: Path) -> None:
    done = heretic("geometry", run.name, "--json")
    assert done.status == 0, done.err
    found, golden = json.loads(done.out), json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert found["prompts"] == golden["prompts"]
    for row, expected in zip(found["layers"], golden["layers"], strict=True):
        for name in GEOMETRY:
            # Lengths by their size, the others as they are: residuals are rounded to half precision.
            assert row[name] == pytest.approx(expected[name], rel=2e-3, abs=2e-3), (row["layer"], name)
        for name in ("auc", "auc_low", "auc_high", "edit", "stream", "add"):
            assert row.get(name) == pytest.approx(expected.get(name), abs=0.02), (row["layer"], name)
        for word in ("raises", "lowers"):
            scores = dict(row[word])
            for token, score in expected[word][:3]:
                assert scores[token] == pytest.approx(score, abs=0.1), (row["layer"], word)
    # Up to the figures, which may be rounded otherwise.
    assert (
        found["sentence"].partition(":")[0] == golden["sentence"].partition(":")[0] == "Refusal lives in layers 6 to 9"
    )


def test_text_and_csv_say_what_the_json_says(heretic: Heretic, run: Path) -> None:
    record = json.loads(heretic("geometry", run.name, "--json").out)
    rows = list(csv.DictReader(io.StringIO(heretic("geometry", run.name, "--csv").out)))
    assert len(rows) == len(record["layers"]) == 11
    for row, layer in zip(rows, record["layers"], strict=True):
        assert [float(row[name]) for name in GEOMETRY] == [layer[name] for name in GEOMETRY]
        assert row["stream"] == ("" if layer["layer"] is None else str(layer["stream"]))
    lines = heretic("geometry", run.name).out.splitlines()
    assert lines[0] == record["sentence"]
    header = next(line.split() for line in lines if "S(g*,b*)" in line)
    assert header == ["layer", *GEOMETRY]


def test_without_model_and_record_the_residuals_are_enough(heretic: Heretic, run: Path) -> None:
    before = json.loads((run / "geometry.json").read_text(encoding="utf-8"))
    (run / "geometry.json").unlink()
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    record["settings"]["model"] = "/nowhere"
    (run / "run.json").write_text(json.dumps(record), encoding="utf-8")
    done = heretic("geometry", run.name, "--json")
    assert done.status == 0, done.err
    for row, known in zip(json.loads(done.out)["layers"], before["layers"], strict=True):
        for name in (*GEOMETRY, "auc"):
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


def test_plots_of_some_layers_by_both_methods(heretic: Heretic, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "pictures"
    done = heretic("plot", run.name, "--method", "pca", "--layers", "7-8", "--out", out)
    assert done.status == 0, done.err
    assert sorted(path.name for path in out.iterdir()) == ["layer-07.png", "layer-08.png", "layers.gif"]
    picture = imageio.v3.imread(out / "layer-08.png")
    assert picture.shape[:2] == (640, 800)
    frames = imageio.v3.imread(out / "layers.gif", index=None)
    assert len(frames) > 5
    assert (frames[0] != frames[-1]).any()
    # Blue for the good prompts on the left, orange for the bad ones on the right.
    red, blue = picture[..., 0].astype(int), picture[..., 2].astype(int)
    columns = torch.arange(800)
    middle_of_good = columns[torch.from_numpy(((blue - red) > 100).sum(axis=0)) > 2].float().mean()
    middle_of_bad = columns[torch.from_numpy(((red - blue) > 100).sum(axis=0)) > 2].float().mean()
    assert middle_of_good < 400 < middle_of_bad
    done = heretic("plot", run.name, "--layers", "8", "--no-animation")
    assert done.status == 0, done.err
    assert [path.name for path in (run / "plots" / "pacmap").iterdir()] == ["layer-08.png"]
    found = read_projections(RunFolder(run))
    assert found is not None
    assert list(found.views) == ["pca", "pacmap"], "the screen can show both"
    pacmap = torch.tensor(found.views["pacmap"]).double()
    assert pacmap.shape == (11, found.good + found.bad, 2)


def test_pacmap_starts_from_where_the_rows_lay_before() -> None:
    generator = torch.Generator().manual_seed(1)
    points = torch.cat([torch.randn(30, 8, generator=generator) + 4 * shift for shift in (-1, 0, 1)])
    plane = pacmap_plane(points, None, 0)
    for sign in (1.0, -1.0):
        before = plane * sign
        after = pacmap_plane(points, before, 0)
        # Mirrored before, mirrored after: nothing else tells the two sides of a view apart.
        assert torch.corrcoef(torch.stack([after[:, 0], before[:, 0]]))[0, 1] > 0.9
    assert not pacmap_plane(torch.ones(12, 8), None, 0).any(), "rows that are all alike lie in one place"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--layers", "4,99"], "no layer 99"),
        (["--layers", "x"], "5,10-14"),
        (["--out", "/proc/nothing"], "cannot write to /proc/nothing"),
    ],
)
def test_plots_that_cannot_be(heretic: Heretic, run: Path, arguments: list[str], words: str) -> None:
    done = heretic("plot", run.name, "--method", "pca", *arguments)
    assert done.status == 2
    assert words in done.err


def test_without_the_extra_one_line_says_what_to_install(
    heretic: Heretic, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = heretic("plot", run.name)
    assert done.status == 2
    assert "pip install 'heretic-tui[research]'" in done.err
    assert done.err.count("\n") == 1


def test_plots_stop_when_they_are_cancelled(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    store = ResidualStore.of({n: torch.randn(8, 4, 6, generator=generator) for n in ("good_prompts", "bad_prompts")})
    seen: list[Any] = []

    def emit(event: Any) -> None:
        seen.append(event)
        control.abort()

    control = Control()
    with pytest.raises(Aborted):
        views_of(store, "pca", 0, Work(emit, control))
    views = views_of(store, "pca", 0, Work())
    control = Control()
    with pytest.raises(Aborted):
        write_plots(views, 8, [1, 2, 3], "m", "pca", tmp_path / "out", True, Work(emit, control))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["layer-00.png"], "what is written stays"


def test_the_animation_glides_from_layer_to_layer() -> None:
    planes = {1: torch.zeros(4, 2), 2: torch.ones(4, 2)}
    frames = list(steps(planes))
    places = [float(plane[0, 0]) for plane, _ in frames]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, 1)
    assert max(b - a for a, b in pairwise(places)) < 0.3
    assert {index for _, index in frames} == {1, 2}
    fitted = scaled(torch.tensor([[-30.0, 1.0], [4.0, 2.0], [3.0, 20.0], [5.0, 5.0]]), 2)
    assert float(fitted.abs().max()) == 1
    assert fitted.shape == (6, 2), "and both medians"


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
    mine, others = load_file(run / "directions.safetensors")["directions"], found["directions"]
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

"""Pictures and the animation of both prompt sets."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import imageio.v3
import pytest
import torch

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.analysis.plots import scaled, steps, views_of, write_plots
from heretic_tui.engine.analysis.projections import pacmap_plane
from heretic_tui.engine.directions.residual_store import ResidualStore
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.results import read_projections
from heretic_tui.work import Work
from tests.support.commands import Ended

Heretic = Callable[..., Ended]


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

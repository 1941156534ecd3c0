"""Directions: difference in means, orthogonalisation, interpolation; and the errors where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from heretic_tui.engine.analysis.geometry import layer_diagnostics
from heretic_tui.engine.directions.find import find_directions
from heretic_tui.engine.directions.interpolation import direction_parts
from heretic_tui.engine.directions.methods.base import Given, direction_method
from heretic_tui.engine.directions.residuals import Residuals
from heretic_tui.engine.directions.unit_directions import found_directions, unit_directions
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.plugins import DIRECTION_METHODS, names
from heretic_tui.settings.sources import load_settings


def means(layers: int = 6, hidden: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    good = torch.randn(layers, hidden, generator=generator, dtype=torch.float64)
    return good, good + torch.randn(layers, hidden, generator=generator, dtype=torch.float64)


def refusal_directions(good: torch.Tensor, bad: torch.Tensor, orthogonalize: bool) -> torch.Tensor:
    """The directions from two means, which are all that the method of mean differences looks at."""
    method = direction_method("mean_difference")
    found, other = (Residuals(mean, mean[None].float()) for mean in (good, bad))
    return unit_directions(method, Given(found, other), orthogonalize)[:, 0]


class Told:
    """A direction method that gives what it is told to."""

    uses: tuple[str, ...] = ()

    def __init__(self, directions: torch.Tensor) -> None:
        self._directions = directions

    def directions(self, given: Given) -> torch.Tensor:
        return self._directions


def test_what_a_method_of_somebody_else_s_gives_is_checked() -> None:
    good, bad = (Residuals(mean, mean[None].float()) for mean in means())
    given = Given(good, bad)
    units = torch.nn.functional.normalize(torch.randn(6, 16), dim=-1)
    # A row of zeros for the embedding is nothing wrong, nor are vectors in half precision.
    units[0] = 0
    assert torch.equal(unit_directions(Told(units), given, False), units[:, None])
    halves = unit_directions(Told(units.half()), given, False)
    torch.testing.assert_close(halves, units[:, None], atol=1e-3, rtol=1e-3)
    with pytest.raises(HereticError, match=r"Told gave a tensor of \(5, 16\) in place of \(6, 16\)"):
        unit_directions(Told(units[1:]), given, False)
    with pytest.raises(HereticError, match="Told gave a NoneType in place of"):
        unit_directions(Told(None), given, False)  # type: ignore[arg-type]
    units[0] = float("nan")
    with pytest.raises(HereticError, match="no finite numbers for the embedding output"):
        unit_directions(Told(units), given, True)
    units[0] = 0
    units[3] *= 2
    with pytest.raises(HereticError, match="Told gave a vector of length 2 for layer 2, in place of 1"):
        unit_directions(Told(units), given, False)
    units[0] = units[2] = float("nan")
    with pytest.raises(HereticError, match="a vector of length nan for layer 1"):
        unit_directions(Told(units), given, False)


def test_several_directions_are_checked_and_orthogonalised_together() -> None:
    good, bad = (Residuals(mean, mean[None].float()) for mean in means())
    given = Given(good, bad, count=3)
    generator = torch.Generator().manual_seed(2)
    rows = torch.linalg.qr(torch.randn(6, 16, 3, generator=generator, dtype=torch.float64)).Q.mT
    rows[0] = 0
    assert torch.equal(unit_directions(Told(rows), given, False), rows.float())
    # A method that was asked for three may find one.
    assert unit_directions(Told(rows[:, 0]), given, False).shape == (6, 1, 16)
    found = unit_directions(Told(rows), given, True).double()
    for layer in range(1, 6):
        torch.testing.assert_close(found[layer] @ found[layer].T, torch.eye(3, dtype=torch.float64), atol=1e-6, rtol=0)
        along = found[layer] @ given.good.mean[layer] / given.good.mean[layer].norm()
        assert along.abs().max() < 1e-6
        # With the good mean they span what they spanned with it before.
        both = [torch.cat([each[layer], given.good.mean[layer][None]]) for each in (rows, found)]
        assert torch.linalg.matrix_rank(torch.cat(both), atol=1e-4) == 4
    # The first is what it would be alone.
    torch.testing.assert_close(found[:, :1].float(), unit_directions(Told(rows[:, 0]), given, True))
    with pytest.raises(
        HereticError, match=r"Told gave a tensor of \(6, 2, 16\) in place of .* or \(6, 3, 16\): mend it"
    ):
        unit_directions(Told(rows[:, :2]), given, False)
    rows[4, 2] = rows[4, 1]
    with pytest.raises(HereticError, match=r"vectors for layer 3 that are not at right angles .*one has 1 of another"):
        unit_directions(Told(rows), given, False)
    rows[4, 2] *= 3
    with pytest.raises(HereticError, match="a vector of length 3 for layer 3"):
        unit_directions(Told(rows), given, False)


@pytest.mark.parametrize(("good", "bad", "said"), [([], ["a"], "no good prompts"), (["a"], [], "no bad prompts")])
def test_lists_without_prompts_are_told(
    good: list[str], bad: list[str], said: str, make_model: Callable[[], ChatModel]
) -> None:
    with pytest.raises(UsageError, match=said):
        find_directions(make_model(), good, bad, load_settings(environment=False))


def test_unit_difference_of_means() -> None:
    good, bad = means()
    directions = refusal_directions(good, bad, orthogonalize=False)
    for layer in range(len(good)):
        expected = (bad[layer] - good[layer]) / (bad[layer] - good[layer]).norm()
        torch.testing.assert_close(directions[layer].double(), expected, rtol=1e-6, atol=1e-6)


def test_orthogonalised_directions_have_nothing_of_the_good_mean() -> None:
    good, bad = means()
    directions = refusal_directions(good, bad, orthogonalize=True)
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(6))
    assert ((directions.double() * good).sum(dim=-1) / good.norm(dim=-1)).abs().max() < 1e-6
    # What is left points the same way as before.
    assert ((directions.double() * (bad - good)).sum(dim=-1) > 0).all()


def test_equal_sets_and_directions_along_the_good_mean_are_errors() -> None:
    good, bad = means()
    with pytest.raises(HereticError, match="same mean residual at layer 0"):
        refusal_directions(good, good.clone(), True)
    with pytest.raises(HereticError, match="along the good mean"):
        refusal_directions(good, good * 1.5, True)
    bad[2, 3] = float("nan")
    with pytest.raises(HereticError, match="not finite"):
        refusal_directions(good, bad, True)


def test_equal_embeddings_are_no_error() -> None:
    good, bad = means()
    bad[0] = good[0]
    assert torch.isfinite(refusal_directions(good, bad, True)).all()


@settings(deadline=None)
def direction_for(directions: torch.Tensor, index: float | None, layer: int) -> torch.Tensor:
    """The direction that a layer is edited with, put together from its parts."""
    parts = direction_parts(directions, index, layer)
    return torch.stack([float(share) * directions[j] for j, share in parts]).sum(dim=0)


def direction_at(directions: torch.Tensor, index: float) -> torch.Tensor:
    return direction_for(directions, index, 0)


@given(index=st.floats(0, 4))
def test_interpolated_direction_is_a_unit_vector_between_its_neighbours(index: float) -> None:
    good, bad = means()
    directions = refusal_directions(good, bad, True)
    mixed = direction_at(directions, index)
    assert mixed.norm().item() == pytest.approx(1, abs=1e-5)
    low = int(index)
    if index == low:
        torch.testing.assert_close(mixed, directions[low + 1])
    else:
        cosine = mixed @ directions[low + 1]
        assert cosine >= directions[low + 1] @ directions[low + 2] - 1e-5


def test_index_is_that_of_the_layer_not_of_the_residual() -> None:
    good, bad = means()
    directions = refusal_directions(good, bad, True)
    torch.testing.assert_close(direction_at(directions, 3.0), directions[4])
    torch.testing.assert_close(direction_for(directions, None, 3), directions[4])
    torch.testing.assert_close(direction_for(directions, 2.0, 3), directions[3])
    half = torch.nn.functional.normalize(directions[3] * 0.75 + directions[4] * 0.25, dim=-1)
    torch.testing.assert_close(direction_at(directions, 2.25), half)
    for outside in (-0.1, 4.01):
        with pytest.raises(UsageError, match="outside"):
            direction_at(directions, outside)


def test_diagnostics() -> None:
    good, bad = torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 0.0]])
    good_along, bad_along = torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0], [6.0]])
    found = layer_diagnostics(good, bad, good_along, bad_along)[0]
    assert found.separation == 4
    assert found.good_norm == 5
    assert found.bad_norm == 3
    assert found.difference_norm == 4
    assert found.cosine == pytest.approx(0.6)
    assert found.surviving == pytest.approx(0.6)


@pytest.mark.parametrize("name", names(DIRECTION_METHODS))
def test_every_method_finds_a_direction_that_is_there(name: str, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(2, 40, 5, 16, generator=generator)
    there = torch.nn.functional.normalize(torch.randn(5, 16, generator=generator), dim=-1)
    # Of all prompts the embedding of the last position is the same.
    noise[:, :, 0] = noise[0, 0, 0]
    good, bad = noise[0], noise[1] + 10 * there * torch.tensor([0, 1, 1, 1, 1])[:, None]
    one, other = (Residuals(each.mean(dim=0, dtype=torch.float64), each) for each in (good, bad))
    kept, path = torch.randn(20, 5, 16, generator=generator), tmp_path / "directions.safetensors"
    save_file({"directions": 3 * there}, path)
    given = Given(one, other, {"something else": Residuals(kept.mean(dim=0).double(), kept)}, file=path)
    found, readers = found_directions(direction_method(name), given)
    if readers is not None:
        torch.testing.assert_close((found * readers).sum(dim=-1)[1:], torch.ones(4, dtype=torch.float64))
    found = found.float()
    torch.testing.assert_close(found[1:].norm(dim=-1), torch.ones(4))
    assert ((found * there).sum(dim=-1)[1:] > 0.9).all(), "from the good towards the bad prompts"

"""Direction methods against definitions of their own and scikit-learn; and what they say where they find none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.covariance import ledoit_wolf as ledoit_wolf_of_scikit
from sklearn.decomposition import TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from heretic_tui.engine.directions.clusters import k_means
from heretic_tui.engine.directions.methods.base import Given, direction_method
from heretic_tui.engine.directions.residuals import Residuals
from heretic_tui.engine.directions.shrinkage import ledoit_wolf, solve_diagonal_and_rows
from heretic_tui.engine.directions.unit_directions import found_directions
from heretic_tui.errors import HereticError

LAYERS, HIDDEN = 3, 12


def prompts(count: int, seed: int, spread: float = 1.0) -> Tensor:
    """Residuals with channels of different sizes, (count, layers + 1, hidden), the same embedding for all."""
    generator = torch.Generator().manual_seed(seed)
    found = spread * torch.randn(count, LAYERS + 1, HIDDEN, generator=generator) * torch.linspace(0.2, 3, HIDDEN)
    found[:, 0] = 1.0
    return found


def residuals(each: Tensor) -> Residuals:
    return Residuals(each.mean(dim=0, dtype=torch.float64), each)


def given(good: Tensor, bad: Tensor, count: int = 1) -> Given:
    return Given(residuals(good), residuals(bad), count=count)


def apart(seed: int = 5) -> Given:
    bad = prompts(30, seed + 1)
    bad[:, 1:] += torch.linspace(-1, 2, HIDDEN)
    return given(prompts(40, seed), bad)


def same_line(found: Tensor, expected: Tensor, tolerance: float = 1e-6) -> None:
    """Both point the same way."""
    expected = expected.double() / expected.double().norm()
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=0)


def test_a_median_is_moved_little_by_one_prompt_that_is_unlike_all_others() -> None:
    good, bad = prompts(40, 1, 0.1), prompts(41, 2, 0.1)
    bad[:, 1:, 0] += 2
    bad[0, 1:, 5] = 1e4
    mean, median = (found_directions(direction_method(name), given(good, bad)) for name in METHODS_OF_MIDDLES)
    assert (mean[1:, 5] > 0.99).all()
    assert (median[1:, 0] > 0.99).all()
    # The sum of distances to the prompts is least there: a step to either side makes it larger.
    layer = bad[:, 2].double()
    lengths = []
    for step in (-1e-3, 0.0, 1e-3):
        at = median_of(layer) + step * torch.ones(HIDDEN, dtype=torch.float64)
        lengths.append(float((layer - at).norm(dim=-1).sum()))
    assert lengths[1] < min(lengths[0], lengths[2])


METHODS_OF_MIDDLES = ("mean_difference", "geometric_median")


def median_of(points: Tensor) -> Tensor:
    from heretic_tui.engine.directions.medians import geometric_median

    return geometric_median(points)


def test_k_means_finds_what_scikit_learn_finds_and_the_same_every_time() -> None:
    generator = torch.Generator().manual_seed(0)
    middles = 4 * torch.randn(4, HIDDEN, generator=generator, dtype=torch.float64)
    sizes = (12, 30, 7, 21)
    points = torch.cat(
        [
            middle + torch.randn(size, HIDDEN, generator=generator, dtype=torch.float64)
            for middle, size in zip(middles, sizes, strict=True)
        ]
    )
    centres, owners = k_means(points, 4)
    expected = KMeans(4, n_init=10, random_state=0).fit(points.numpy())
    order = np.argsort(-np.bincount(expected.labels_), kind="stable")
    np.testing.assert_allclose(centres.numpy(), expected.cluster_centers_[order], atol=1e-9)
    assert float((points - centres[owners]).square().sum()) == pytest.approx(expected.inertia_)
    assert torch.bincount(owners).tolist() == [30, 21, 12, 7]
    again = k_means(points, 4)
    assert torch.equal(again[0], centres)
    assert torch.equal(again[1], owners)


def test_as_many_clusters_as_points_and_points_that_are_all_the_same() -> None:
    points = torch.eye(3, dtype=torch.float64)
    centres, owners = k_means(points, 3)
    assert sorted(owners.tolist()) == [0, 1, 2]
    torch.testing.assert_close(centres[owners], points)
    centres, _ = k_means(torch.ones(5, 2, dtype=torch.float64), 2)
    torch.testing.assert_close(centres, torch.ones(2, 2, dtype=torch.float64))


def test_clusters_span_what_leads_from_the_good_mean_to_each_cluster() -> None:
    good, bad = prompts(40, 1, 0.05), prompts(45, 2, 0.05)
    for cluster in range(3):
        bad[cluster::3, 1:, cluster] += 3.0 + cluster
    found = found_directions(direction_method("clusters"), given(good, bad, 3))
    assert found.shape == (LAYERS + 1, 3, HIDDEN)
    for layer in range(1, LAYERS + 1):
        rows = found[layer]
        torch.testing.assert_close(rows @ rows.T, torch.eye(3, dtype=torch.float64), atol=1e-9, rtol=0)
        mean = good[:, layer].double().mean(dim=0)
        for cluster in range(3):
            lead = bad[cluster::3, layer].double().mean(dim=0) - mean
            torch.testing.assert_close(rows.T @ (rows @ lead), lead, atol=1e-6, rtol=0)
        same_line(rows[0], bad[:, layer].double().mean(dim=0) - mean)


def test_one_cluster_is_the_mean_difference() -> None:
    there = apart()
    found, expected = (found_directions(direction_method(name), there) for name in ("clusters", "mean_difference"))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_principal_components_are_those_of_scikit_learn() -> None:
    there = apart()
    several = Given(there.good, there.bad, count=3)
    found = found_directions(direction_method("principal_components"), several)
    for layer in range(1, LAYERS + 1):
        differences = (there.bad.each[:, layer].double() - there.good.each[:, layer].double().mean(dim=0)).numpy()
        expected = TruncatedSVD(3, algorithm="arpack", random_state=0).fit(differences).components_
        signs = np.sign(expected @ differences.mean(axis=0))[:, None]
        np.testing.assert_allclose(found[layer].numpy(), signs * expected, atol=1e-6)
    one = found_directions(direction_method("principal_components"), there)
    torch.testing.assert_close(one[1:], found[1:, 0])


@pytest.mark.parametrize("count", [20, 6], ids=["more prompts than channels", "fewer"])
def test_the_discriminant_is_that_of_scikit_learn(count: int) -> None:
    good, bad = prompts(count, 3), prompts(count // 2, 4)
    bad[:, 1:] += torch.linspace(-1, 2, HIDDEN)
    # A channel in which no prompt differs.
    good[:, :, 3], bad[:, :, 3] = 0.5, 0.5
    found = found_directions(direction_method("discriminant"), given(good, bad))
    labels = [0] * len(good) + [1] * len(bad)
    for layer in range(1, LAYERS + 1):
        each = torch.cat([good[:, layer], bad[:, layer]]).double().numpy()
        fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(each, labels)
        same_line(found[layer], torch.from_numpy(fitted.coef_[0]))


@pytest.mark.parametrize("count", [50, 5])
def test_ledoit_and_wolf_s_estimate_is_that_of_scikit_learn(count: int) -> None:
    points = prompts(count, 7)[:, 1].double()
    centred = points - points.mean(dim=0)
    shrinkage, level = ledoit_wolf(centred)
    expected, expected_shrinkage = ledoit_wolf_of_scikit(centred.numpy(), assume_centered=True)
    assert shrinkage == pytest.approx(expected_shrinkage)
    ours = (1 - shrinkage) * centred.T @ centred / count + shrinkage * level * torch.eye(HIDDEN, dtype=torch.float64)
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-12)


def test_a_covariance_is_solved_without_being_made() -> None:
    generator = torch.Generator().manual_seed(1)
    diagonal = torch.rand(9, generator=generator, dtype=torch.float64) + 0.1
    rows, right = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((4, 9), (9,)))
    found = solve_diagonal_and_rows(diagonal, rows, right)
    torch.testing.assert_close((torch.diag(diagonal) + rows.T @ rows) @ found, right)


@pytest.mark.parametrize("name", ["clusters", "principal_components"])
def test_more_directions_than_prompts_are_told(name: str) -> None:
    there = apart()
    few = Residuals(there.bad.mean, there.bad.each[:2])
    with pytest.raises(HereticError, match=r"layer 0: .*harmful prompts .*: ask for fewer"):
        found_directions(direction_method(name), Given(there.good, few, count=3))
    # Prompts that are all alike differ in one direction.
    alike = residuals(there.bad.each[:1].expand(9, -1, -1))
    with pytest.raises(HereticError, match="layer 0: the harmful prompts do not differ in 2 directions: ask for fewer"):
        found_directions(direction_method(name), Given(there.good, alike, count=2))


@pytest.mark.parametrize(
    "name", ["mean_difference", "geometric_median", "clusters", "principal_components", "discriminant"]
)
def test_equal_sets_and_residuals_that_are_no_numbers_are_told(name: str) -> None:
    good = prompts(20, 1)
    with pytest.raises(HereticError, match="the same mean residual at layer 0: the two sets do not differ"):
        found_directions(direction_method(name), given(good, good.flip(0)))
    bad = prompts(20, 2)
    bad[3, 2, 1] = float("inf")
    with pytest.raises(HereticError, match="not finite"):
        found_directions(direction_method(name), given(good, bad))

"""Direction methods against definitions of their own and scikit-learn; and what they say where they find none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from concept_erasure import LeaceFitter
from safetensors.torch import save_file
from sklearn.cluster import KMeans
from sklearn.covariance import ledoit_wolf as ledoit_wolf_of_scikit
from sklearn.decomposition import TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from heretic_tui.engine.directions.by_method import as_tensors, find_by_method, from_tensors, opposite_sides
from heretic_tui.engine.directions.clusters import k_means
from heretic_tui.engine.directions.methods.base import DirectionMethod, Given, direction_method, direction_methods
from heretic_tui.engine.directions.residuals import Residuals
from heretic_tui.engine.directions.shrinkage import ledoit_wolf, solve_diagonal_and_rows
from heretic_tui.engine.directions.unit_directions import found_directions as found_of_both
from heretic_tui.engine.directions.unit_directions import readers_off
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.settings.sources import load_settings

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


def found_directions(method: DirectionMethod, there: Given) -> Tensor:
    """What a method finds that reads along what it writes."""
    found, readers = found_of_both(method, there)
    assert readers is None
    return found


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
    centres, owners = k_means(torch.ones(5, 2, dtype=torch.float64), 4)
    torch.testing.assert_close(centres, torch.ones(4, 2, dtype=torch.float64))
    assert set(owners.tolist()) == {0, 1, 2, 3}


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
    "name", ["mean_difference", "geometric_median", "clusters", "principal_components", "discriminant", "leace"]
)
def test_equal_sets_and_residuals_that_are_no_numbers_are_told(name: str) -> None:
    good = prompts(20, 1)
    with pytest.raises(HereticError, match="the same mean residual at layer 0: the two sets do not differ"):
        found_of_both(direction_method(name), given(good, good.flip(0)))
    bad = prompts(20, 2)
    bad[3, 2, 1] = float("inf")
    with pytest.raises(HereticError, match="not finite"):
        found_of_both(direction_method(name), given(good, bad))


@pytest.mark.parametrize("count", [60, 8], ids=["more prompts than channels", "fewer"])
def test_leace_is_what_the_package_of_its_authors_gives(count: int) -> None:
    good, bad = prompts(count, 3), prompts(count // 2, 4)
    bad[:, 1:] += torch.linspace(-1, 2, HIDDEN)
    write, read = found_of_both(direction_method("leace"), given(good, bad))
    assert read is not None
    labels = torch.tensor([0.0] * len(good) + [1.0] * len(bad), dtype=torch.float64)
    for layer in range(1, LAYERS + 1):
        each = torch.cat([good[:, layer], bad[:, layer]]).double()
        # Their limit on the trace is no part of the paper's projection.
        fitted = LeaceFitter.fit(each, labels, shrinkage=True, constrain_cov_trace=False, svd_tol=1e-9).eraser
        ours = torch.eye(HIDDEN, dtype=torch.float64) - torch.outer(write[layer], read[layer])
        torch.testing.assert_close(ours, fitted.P, atol=1e-6, rtol=1e-5)
        # Nothing linear is left that tells the sets apart, and what is left is the affine map of the package.
        assert fitted.bias is not None
        left = each - ((each - fitted.bias) @ read[layer])[:, None] * write[layer]
        torch.testing.assert_close(left, fitted(each), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(left[labels == 0].mean(dim=0), left[labels == 1].mean(dim=0), atol=1e-6, rtol=0)


def test_readers_turned_from_the_good_mean_leave_it_and_erase_as_before() -> None:
    there = apart()
    write, read = found_of_both(direction_method("leace"), there)
    assert read is not None
    turned = readers_off(read, write, there.good.mean)
    for layer in range(1, LAYERS + 1):
        good, bad = there.good.mean[layer], there.bad.mean[layer]
        after = [mean - (turned[layer] @ mean) * write[layer] for mean in (good, bad)]
        torch.testing.assert_close(after[0], good, atol=1e-9, rtol=0)
        torch.testing.assert_close(after[1], good, atol=1e-6, rtol=0)
    with pytest.raises(HereticError, match="along the good mean"):
        readers_off(read, torch.nn.functional.normalize(there.good.mean, dim=-1), there.good.mean)


def test_what_is_to_be_kept_is_cleaned_from_the_direction_by_ridge_regression() -> None:
    there = apart()
    style, maths = prompts(25, 11) + torch.linspace(1, -1, HIDDEN), prompts(25, 12)
    maths[:, 1:, 4] += 5
    kept = Given(there.good, there.bad, kept={"style": residuals(style), "maths": residuals(maths)})
    found = found_directions(direction_method("ridge_cleaned"), kept)
    for layer in range(1, LAYERS + 1):
        good = there.good.mean[layer].numpy()
        difference = there.bad.mean[layer].numpy() - good
        concepts = np.stack([each.mean[layer].numpy() - good for each in kept.kept.values()], axis=1)
        concepts, difference = concepts / np.linalg.norm(concepts, axis=0), difference / np.linalg.norm(difference)
        # Ridge regression by its definition: least squares with rows for the penalty.
        design, target = np.vstack([concepts, 0.1 * np.eye(2)]), np.concatenate([difference, np.zeros(2)])
        left = difference - concepts @ np.linalg.lstsq(design, target, rcond=None)[0]
        same_line(found[layer], torch.from_numpy(left))
        assert np.abs(found[layer].numpy() @ concepts).max() < 0.05
    same = Given(there.good, there.bad, kept={"the same": there.bad})
    with pytest.raises(HereticError, match="nothing is left of the direction of layer 0 without the same"):
        found_directions(direction_method("ridge_cleaned"), same)


def test_directions_from_files(tmp_path: Path) -> None:
    there, path = apart(), tmp_path / "found.safetensors"
    method = direction_method("from_file")
    generator = torch.Generator().manual_seed(4)

    def read(tensors: dict[str, Tensor], count: int = 1) -> Tensor:
        save_file(tensors, path)
        return found_directions(method, Given(there.good, there.bad, file=path, count=count))

    rows = torch.randn(LAYERS + 1, HIDDEN, generator=generator)
    expected = torch.nn.functional.normalize(rows.double(), dim=-1)
    torch.testing.assert_close(read({"anything": rows}), expected)
    # A run's file: other tensors beside.
    torch.testing.assert_close(read({"directions": rows[:, None], "good_mean": rows * 2}), expected)
    torch.testing.assert_close(read({"one": rows[1].half()})[3], expected[1], atol=1e-3, rtol=0)
    several = read({"directions": torch.randn(LAYERS + 1, 2, HIDDEN, generator=generator)}, 2)
    torch.testing.assert_close(several[1] @ several[1].T, torch.eye(2, dtype=torch.float64))
    # Of several as many as are asked for.
    torch.testing.assert_close(read({"directions": torch.stack([rows, -rows], dim=1)}), expected)
    # Those of a run with oblique directions are read along what they were read along there.
    write, along = found_of_both(direction_method("leace"), there)
    assert along is not None
    save_file({"directions": write[:, None].float(), "readers": along.float()}, path)
    again, readers = found_of_both(method, Given(there.good, there.bad, file=path))
    torch.testing.assert_close(again, write, atol=1e-6, rtol=0)
    torch.testing.assert_close(readers, along.float().double())
    with pytest.raises(HereticError, match="the 2 directions of layer 0 lie in a smaller space"):
        read({"directions": torch.stack([rows, -rows], dim=1)}, 2)
    with pytest.raises(HereticError, match="holds 1 direction of a layer, and directions_per_layer is 2"):
        read({"directions": rows}, 2)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"a": torch.ones(HIDDEN), "b": torch.ones(HIDDEN)}, "holds 2 tensors, and none is called 'directions'"),
        ({"a": torch.ones(LAYERS, HIDDEN)}, r"holds a tensor of \(3, 12\): this model needs \(12,\), \(4, 12\)"),
        ({"a": torch.ones(HIDDEN + 1)}, r"holds a tensor of \(13,\)"),
        ({"a": torch.full((HIDDEN,), float("nan"))}, "holds what are no finite numbers"),
        ({"a": torch.ones(HIDDEN, dtype=torch.int64)}, "holds what are no finite numbers"),
        ({"a": torch.zeros(HIDDEN)}, r"holds no direction \(zeros\) for layer 0"),
    ],
)
def test_files_that_hold_no_directions_of_the_model(tmp_path: Path, tensors: dict[str, Tensor], said: str) -> None:
    there, path = apart(), tmp_path / "found.safetensors"
    save_file(tensors, path)
    with pytest.raises(HereticError, match=said):
        found_directions(direction_method("from_file"), Given(there.good, there.bad, file=path))


def test_a_file_that_is_no_safetensors_file(tmp_path: Path) -> None:
    there, path = apart(), tmp_path / "found.safetensors"
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(UsageError, match="is no safetensors file that can be read"):
        found_directions(direction_method("from_file"), Given(there.good, there.bad, file=path))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"directions_per_layer": 2}, "--directions-per-layer is given, and the direction method mean_difference does"),
        ({"keep_prompts": ["a.txt"]}, "--keep-prompts is given, and the direction method mean_difference does not use"),
        ({"direction_method": ["ridge_cleaned"]}, "the direction method ridge_cleaned needs --keep-prompts"),
        ({"direction_method": ["clusters", "from_file"]}, "the direction method from_file needs --direction-file"),
        ({"direction_method": ["leace"], "direction_file": "x"}, "--direction-file is given, and the direction method"),
    ],
)
def test_settings_that_a_method_lacks_or_none_uses_are_told(flags: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        direction_methods(load_settings(flags, environment=False))


def test_several_methods_are_found_and_kept_each_by_its_name() -> None:
    names = ["mean_difference", "clusters", "leace"]
    settings = load_settings({"direction_method": names, "directions_per_layer": 2}, environment=False)
    there = apart()
    asked = Given(there.good, there.bad, count=2)
    found = find_by_method(direction_methods(settings), asked, settings)
    assert [each.vectors.shape[1] for each in found.values()] == [1, 2, 1]
    assert [each.readers is not None for each in found.values()] == [False, False, True]
    again = from_tensors(as_tensors(found), names)
    for name in names:
        assert torch.equal(again[name].vectors, found[name].vectors)
        assert again[name].edited is None
    with pytest.raises(KeyError):
        from_tensors(as_tensors(found), ["mean_difference", "discriminant"])
    with pytest.raises(ValueError, match="of another model"):
        from_tensors({**as_tensors(found), "directions": torch.ones(2, 1, HIDDEN)}, names)


def test_the_mask_leaves_layers_in_which_both_sets_lie_on_one_side() -> None:
    axis = torch.zeros(HIDDEN)
    axis[0] = 1.0
    # By layer: apart around nothing, both on the positive side, both on the negative one.
    good, bad = (prompts(30, seed, 0.01) for seed in (1, 2))
    for layer, (one, other) in enumerate([(-1.0, 1.0), (1.0, 3.0), (-3.0, -1.0)], start=1):
        good[:, layer] += one * axis
        bad[:, layer] += other * axis
    settings = load_settings({"layer_mask": True}, environment=False)
    found = find_by_method(direction_methods(settings), given(good, bad), settings)["mean_difference"]
    assert found.edited == frozenset({0})
    assert found.left_alone() == [1, 2]
    assert from_tensors(as_tensors({"mean_difference": found}), ["mean_difference"])[
        "mean_difference"
    ].edited == frozenset({0})
    # Orthogonalised directions have nothing of the good mean: the mask looks at them as they were found.
    raw, _ = found_of_both(direction_method("mean_difference"), given(good, bad))
    assert opposite_sides(raw[:, None], good.mean(dim=0), bad.mean(dim=0)) == {0}
    # Those of a file may be without it already: what is left of the mean there is rounding.
    without = found.vectors[:, 0].double()
    without[1:] += 1e-8 * good.mean(dim=0, dtype=torch.float64)[1:]
    assert opposite_sides(without, good.mean(dim=0), bad.mean(dim=0)) == frozenset()
    bad[:, 1] -= 4 * axis
    with pytest.raises(HereticError, match=r"in no layer do the two sets .* run without --layer-mask"):
        find_by_method(direction_methods(settings), given(good, bad), settings)

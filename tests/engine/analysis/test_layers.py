"""The figures of the layers against NumPy and scikit-learn on small arrays, and against known places in a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score, silhouette_score

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.analysis.first_token_shift import first_token_shift
from heretic_tui.engine.analysis.geometry import geometric_median, residual_geometry, silhouette
from heretic_tui.engine.analysis.layer_effects import refusal_log_odds
from heretic_tui.engine.analysis.logit_lens import Lens, final_norm
from heretic_tui.engine.analysis.projections import principal_components, turned
from heretic_tui.engine.analysis.separation import area_under_curve
from heretic_tui.engine.analysis.where_refusal_lives import where_refusal_lives
from heretic_tui.engine.directions.methods.mean_difference import METHOD
from heretic_tui.engine.directions.residual_store import ResidualStore, open_residuals, stored_bytes
from heretic_tui.engine.directions.residuals import Residuals
from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.methods.base import edit_method, make_edit
from heretic_tui.engine.hooks import change_output
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.partial_pass import PartialPass, replays_exactly
from heretic_tui.engine.session.phases.layers import analyse_layers, gather_all
from heretic_tui.errors import UsageError
from heretic_tui.events import Event, Progress
from heretic_tui.layer_figures import Effect, FirstTokens, LayerFigures, Separation
from heretic_tui.run.folder import RunFolder
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work
from tests.support import tiny_models

Make = Callable[..., ChatModel]


def clouds(good: int = 9, bad: int = 7, hidden: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(good, hidden, generator=generator) + 3,
        torch.randn(bad, hidden, generator=generator) * 2 - 0.5,
    )


def test_geometry_is_what_numpy_and_scikit_learn_say() -> None:
    good, bad = clouds()
    found = residual_geometry(good, bad)
    x, y = good.double().numpy(), bad.double().numpy()

    def median(points: np.ndarray) -> np.ndarray:
        # Weiszfeld's iteration, written down.
        at = points.mean(axis=0)
        for _ in range(5000):
            weights = 1 / np.linalg.norm(points - at, axis=1)
            at = (weights[:, None] * points).sum(axis=0) / weights.sum()
        return at

    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    g, b, g_star, b_star = x.mean(axis=0), y.mean(axis=0), median(x), median(y)
    r, r_star = b - g, b_star - g_star
    expected = {
        "S(g,b)": cosine(g, b), "S(g*,b*)": cosine(g_star, b_star), "S(g,r)": cosine(g, r),
        "S(g*,r*)": cosine(g_star, r_star), "S(b,r)": cosine(b, r), "S(b*,r*)": cosine(b_star, r_star),
        "|g|": np.linalg.norm(g), "|g*|": np.linalg.norm(g_star), "|b|": np.linalg.norm(b),
        "|b*|": np.linalg.norm(b_star), "|r|": np.linalg.norm(r), "|r*|": np.linalg.norm(r_star),
        "Silh": silhouette_score(np.vstack([x, y]), [0] * len(x) + [1] * len(y)),
    }  # fmt: skip
    assert found == pytest.approx(expected, abs=2e-5)
    assert list(found) == list(expected), "in the order of the field's tables"


def test_geometry_of_equal_residuals_is_zeros_not_noise() -> None:
    alike = torch.ones(4, 3)
    found = residual_geometry(alike, alike)
    assert (found["|r|"], found["S(g,r)"], found["Silh"], found["S(g,b)"]) == (0, 0, 0, 1)


def test_silhouette_of_a_set_of_one_and_far_from_the_origin() -> None:
    good, bad = clouds()
    labels = [0] * len(good) + [1]
    one = silhouette_score(torch.cat([good, bad[:1]]).numpy(), labels)
    assert silhouette(good, bad[:1]) == pytest.approx(one, abs=1e-6)
    # What all residuals share may be a thousand times what tells them apart.
    assert silhouette(good.double() + 1e5, bad.double() + 1e5) == pytest.approx(silhouette(good, bad), abs=1e-6)


def test_a_geometric_median_does_not_follow_an_outlier() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 0.5], [1000.0, 0.5]])
    assert geometric_median(points)[0] < 1


def test_area_under_the_curve_counts_ties_half_and_keeps_its_interval() -> None:
    good, bad = torch.tensor([0.0, 1, 2, 2, 3]), torch.tensor([2.0, 2, 3, 4])
    area = area_under_curve(good, bad)
    assert area.value == pytest.approx(roc_auc_score([0] * 5 + [1] * 4, [*good.tolist(), *bad.tolist()]))
    assert 0 < area.low < area.value < area.high < 1
    apart = area_under_curve(torch.arange(20.0), torch.arange(100.0, 120.0))
    assert (apart.value, apart.high) == (1, 1)
    assert 0.8 < apart.low < 0.99, "twenty of each without overlap are no certainty"


def test_principal_components_are_those_of_scikit_learn() -> None:
    points = torch.cat(clouds())
    expected = PCA(2).fit_transform(points.double().numpy())
    found = principal_components(points, 2).numpy()
    for column in range(2):
        sign = np.sign(found[:, column] @ expected[:, column])
        np.testing.assert_allclose(found[:, column] * sign, expected[:, column], atol=1e-8)


def test_a_turned_view_has_the_good_median_left_and_keeps_its_shape() -> None:
    good, bad = (part[:, :2].double() for part in clouds())
    plane = torch.cat([good, bad])
    view = turned(plane, len(good))
    left, right = geometric_median(view[: len(good)]), geometric_median(view[len(good) :])
    assert left[0] < right[0]
    assert float(left[1]) == pytest.approx(float(right[1]), abs=1e-3)
    torch.testing.assert_close(torch.cdist(view, view), torch.cdist(plane, plane))
    # A layer that came out upside down is turned back to how the one before lay.
    mirrored = turned(plane * torch.tensor([1.0, -1.0]), len(good), view)
    assert float(mirrored[:, 1] @ view[:, 1]) > 0


def test_residuals_survive_half_precision_on_disk_layer_by_layer(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(4)
    # Streams that float16 cannot hold, and embeddings that it would flatten to zero.
    scales = torch.tensor([1e-9, 1.0, 3e6])[None, :, None]
    sets = {name: torch.randn(6, 3, 4, generator=generator) * scales for name in ("good_prompts", "bad_prompts")}
    folder = RunFolder(tmp_path)
    path = folder.residuals
    ResidualStore.of(sets).save(folder)
    store = open_residuals(folder)
    assert (store.depth, store.count("bad_prompts"), sorted(store.names)) == (2, 6, ["bad_prompts", "good_prompts"])
    for name, residuals in sets.items():
        for index in range(3):
            top = float(residuals[:, index].abs().max())
            torch.testing.assert_close(store.layer(name, index), residuals[:, index], rtol=1e-3, atol=1e-3 * top)
    assert path.stat().st_size == pytest.approx(stored_bytes(12, 2, 4), abs=600), "what was said beforehand"
    path.write_bytes(b"nonsense")
    with pytest.raises(UsageError, match="damaged"):
        open_residuals(folder)


def test_log_odds_of_refusal_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.3, 0.4]]))
    assert float(refusal_log_odds(logits, [1, 2])[0]) == pytest.approx(np.log(0.5 / 0.5), abs=1e-6)
    assert float(refusal_log_odds(logits, [3])[0]) == pytest.approx(np.log(0.4 / 0.6), abs=1e-6)


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_a_pass_from_the_middle_is_the_whole_pass(make_model: Make, kind: str) -> None:
    model = make_model(kind)
    rows = [[5, 9, 200, 7], [30, 31, 32], [8, 1, 90, 14, 77]]
    batch = model.batch([0, 1, 2], rows)
    with torch.inference_mode():
        assert replays_exactly(model, batch)
        replay = PartialPass(model, batch)
        for layer, module in enumerate(model.anatomy.layers):
            with change_output(module, lambda hidden: hidden * 0.5):
                expected = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
                found = replay.logits_from(layer)
            torch.testing.assert_close(found, expected)
        again = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
    torch.testing.assert_close(again, replay.logits, msg="nothing of it stays behind")


@pytest.mark.parametrize(("kind", "name"), [("llama", "norm"), ("gpt2", "ln_f"), ("gpt_neox", "final_layer_norm")])
def test_the_final_norm_is_found_by_running_the_model(make_model: Make, kind: str, name: str) -> None:
    model = make_model(kind)
    named = {module: path for path, module in model.network.named_modules()}
    norm = final_norm(model)
    assert norm is not None
    assert named[norm].rpartition(".")[2] == name


def test_scores_are_the_gain_of_a_stream_that_is_the_direction(make_model: Make) -> None:
    model = make_model()
    v = torch.nn.functional.normalize(torch.randn(32, generator=torch.Generator().manual_seed(1)), dim=0)
    scores = Lens(model).scores(v[None])[0]
    network = model.network
    with torch.inference_mode():
        logits = network.lm_head(network.model.norm(v[None] * 32**0.5))[0]
    torch.testing.assert_close(scores, logits - logits.mean(), rtol=1e-4, atol=1e-4)


# A direction that was planted

PLANTED_AT, WORD, MARK = 2, "R", "!"
TOKEN, TRIGGER = (tiny_models.tokenizer().convert_tokens_to_ids(letter) for letter in (WORD, MARK))


def planted() -> torch.nn.Module:
    """A random model in which one layer's attention writes a direction where a prompt has an exclamation mark, and
    whose unembedding answers that direction with one token."""
    network = tiny_models.network(scale=1.0)
    generator = torch.Generator().manual_seed(7)
    unit = torch.nn.functional.normalize(torch.randn(2, 32, generator=generator), dim=1)
    trigger, written = unit[0], unit[1] - (unit[1] @ unit[0]) * unit[0]
    written = written / written.norm()
    with torch.no_grad():
        embeddings = network.get_input_embeddings().weight
        embeddings.copy_(torch.randn(embeddings.shape, generator=generator) / 32**0.5)
        embeddings -= (embeddings @ trigger)[:, None] * trigger
        embeddings[TRIGGER] = trigger
        attention = network.model.layers[PLANTED_AT].self_attn
        # Scores of zero: the last position looks at all others alike.
        attention.q_proj.weight.zero_()
        attention.v_proj.weight[0] = trigger
        attention.o_proj.weight[:, 0] = 12 * written
        network.lm_head.weight[TOKEN] = 2 * written
    return network


def prompts_of(model: ChatModel, mark: bool, count: int, seed: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    texts = []
    for _ in range(count):
        letters = [chr(c) for c in torch.randint(ord("a"), ord("z") + 1, (12,), generator=generator).tolist()]
        if mark:
            letters[int(torch.randint(0, 12, (1,), generator=generator))] = MARK
        texts.append(Prompt("".join(letters), ""))
    return model.encode(texts)


@pytest.fixture
def analysed(make_model: Make, tmp_path: Path) -> tuple[ChatModel, dict, torch.Tensor]:
    model = make_model(network=planted(), batch_size=32)
    tokens = {
        "good_prompts": prompts_of(model, False, 60, 1), "bad_prompts": prompts_of(model, True, 60, 2),
        "good_evaluation_prompts": prompts_of(model, False, 40, 3),
        "bad_evaluation_prompts": prompts_of(model, True, 40, 4),
    }  # fmt: skip
    folder = RunFolder(tmp_path)
    store = gather_all(model, tokens, {}, load_settings(environment=False), True, folder, Work())
    each = [torch.stack([store.layer(n, i) for i in range(5)], dim=1) for n in ("good_prompts", "bad_prompts")]
    # Of the embedding of the template's last token there is none.
    directions = METHOD().directions(*(Residuals(found.mean(0, dtype=torch.float64), found) for found in each)).float()
    directions[0] = 0

    def edits(layer: int) -> dict:
        writers = [w for w in model.anatomy.writers if w.layer == layer]
        return {w.name: make_edit(w.weight(), directions[layer + 1], 1.0, edit_method("subtract")) for w in writers}

    found = analyse_layers(
        model, store, directions, edits, tokens["bad_evaluation_prompts"], tokens["good_evaluation_prompts"], 16,
        folder, Work(),
    )  # fmt: skip
    return model, found.to_json(), directions


def test_a_planted_direction_is_found_where_it_was_planted(analysed: tuple[ChatModel, dict, torch.Tensor]) -> None:
    _, found, _ = analysed
    layers = found["layers"][1:]
    apart = [row["auc"] >= 0.95 for row in layers]
    assert apart.index(True) == PLANTED_AT, "by separation of prompts that the direction was not made from"
    assert all(row["auc_low"] <= row["auc"] <= row["auc_high"] for row in layers)
    # By what the model says: only that layer writes it, and from there on the stream carries it.
    assert found["refusal"]["tokens"][0][0] == WORD
    edit, stream, add = ([row[name] for row in layers] for name in ("edit", "stream", "add"))
    assert min(range(4), key=edit.__getitem__) == PLANTED_AT
    assert all(abs(edit[layer]) < 0.2 * abs(edit[PLANTED_AT]) for layer in range(4) if layer != PLANTED_AT)
    onset = next(layer for layer in range(4) if stream[layer] < 0.5 * min(stream))
    assert onset == PLANTED_AT
    assert all(value > 0.5 * max(add) for value in add[PLANTED_AT:])
    assert f"layers {PLANTED_AT} to 3" in found["sentence"]
    assert f"Layer {PLANTED_AT} writes most of it" in found["sentence"]
    assert f"apart from layer {PLANTED_AT} on" in found["sentence"]


def test_the_unembedding_names_the_planted_token(analysed: tuple[ChatModel, dict, torch.Tensor]) -> None:
    _, found, _ = analysed
    row = found["layers"][PLANTED_AT + 1]
    assert row["raises"][0][0] == WORD
    assert row["raises"][0][1] > 1.5 * row["raises"][1][1]
    assert (found["layers"][0]["raises"], found["layers"][0]["lowers"]) == ([], [])


def test_a_trial_that_takes_it_out_loses_the_planted_token(
    analysed: tuple[ChatModel, dict, torch.Tensor],
) -> None:
    model, _, directions = analysed
    edits = {
        w.name: make_edit(w.weight(), directions[PLANTED_AT + 1], 1.0, edit_method("subtract"))
        for w in model.anatomy.writers
        if w.layer == PLANTED_AT
    }
    bad = prompts_of(model, True, 10, 9)
    named = [Prompt(f"prompt {n}", "") for n in range(10)]
    told: list[tuple[int, int]] = []
    found = first_token_shift(model, {"bad": (named, bad)}, edits, lambda *at: told.append(at))["bad"]
    assert found.lost[0][0] == WORD
    moved = [record.kl_divergence for record in found.prompts]
    assert moved == sorted(moved, reverse=True)
    assert len(moved) == 10
    assert found.kl_divergence == pytest.approx(sum(moved) / 10, abs=1e-5)
    # By hand, for the prompt that moved most.
    row = int(found.prompts[0].prompt.split()[1])
    batch = model.batch([row], bad)
    with torch.inference_mode():
        base = model.next_token_logits(batch.ids, batch.mask, batch.positions, None).log_softmax(-1)
        with attached(model.anatomy.writers, edits):
            edited = model.next_token_logits(batch.ids, batch.mask, batch.positions, None).log_softmax(-1)
    assert moved[0] == pytest.approx(float((base.exp() * (base - edited)).sum()), abs=1e-4)
    token, before, after = found.prompts[0].lost[0]
    assert token == WORD
    assert (before, after) == pytest.approx((float(base.exp()[0, TOKEN]), float(edited.exp()[0, TOKEN])), abs=1e-3)
    assert told[-1] == (10, 10)


def test_the_sentence_does_not_name_a_layer_where_none_carries_refusal() -> None:
    rows = [LayerFigures(index=0, separation=Separation(0.5, 0.4, 0.6))]
    changes = {"edit": Effect(0.0), "stream": Effect(-0.1), "add": Effect(0.2)}
    rows += [LayerFigures(index=i, separation=Separation(0.7, 0.6, 0.8), effects=changes) for i in range(1, 4)]
    said = where_refusal_lives(rows, FirstTokens((), bad=4.0, good=-4.0))
    assert "No single layer carries refusal" in said
    assert "No layer's direction tells held-out prompts apart" in said


def test_geometry_stops_between_layers(tmp_path: Path) -> None:
    from heretic_tui.engine.analysis.record import geometry_of

    sets = {name: torch.randn(5, 4, 6) for name in ("good_prompts", "bad_prompts")}
    control, seen = Control(), []

    def emit(event: Event) -> None:
        assert isinstance(event, Progress)
        seen.append((event.done, event.total))
        control.abort()

    with pytest.raises(Aborted):
        geometry_of(ResidualStore.of(sets), Work(emit, control))
    assert seen == [(1, 4)]

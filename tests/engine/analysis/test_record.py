"""The record of the layers: a direction that was planted in a network is found where it was planted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from heretic_tui.engine.analysis.first_token_shift import first_token_shift
from heretic_tui.engine.directions.by_method import MethodDirections
from heretic_tui.engine.directions.methods.base import Given
from heretic_tui.engine.directions.methods.mean_difference import METHOD
from heretic_tui.engine.directions.residual_store import ResidualStore
from heretic_tui.engine.directions.residuals import Residuals
from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.banks import EditBanks
from heretic_tui.engine.edits.methods.base import edit_method, make_edit
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.measuring.reading import Reader
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.session.phases.directions import FoundDirections
from heretic_tui.engine.session.phases.layers import analyse_layers
from heretic_tui.layer_figures import FirstTokens, LayerFigures
from heretic_tui.records import read
from heretic_tui.report.finding import finding
from heretic_tui.run.folder import RunFolder
from heretic_tui.work import Work
from tests.support import tiny_models

Make = Callable[..., ChatModel]
PLANTED_AT, WORD, MARK = 2, "R", "!"
TOKEN, TRIGGER = (tiny_models.tokenizer().convert_tokens_to_ids(letter) for letter in (WORD, MARK))


def planted() -> Any:
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
def analysed(make_model: Make, tmp_path: Path) -> tuple[ChatModel, dict[str, Any], torch.Tensor]:
    model = make_model(network=planted(), batch_size=32)
    tokens = {
        "good_prompts": prompts_of(model, False, 60, 1), "bad_prompts": prompts_of(model, True, 60, 2),
        "good_evaluation_prompts": prompts_of(model, False, 40, 3),
        "bad_evaluation_prompts": prompts_of(model, True, 40, 4),
    }  # fmt: skip
    folder = RunFolder(tmp_path)
    reader = Reader(model, tokens, 1.0)
    store = ResidualStore.of({name: reader.residuals(name).each for name in tokens})
    store.save(folder)
    each = [torch.stack([store.layer(n, i) for i in range(5)], dim=1) for n in ("good_prompts", "bad_prompts")]
    # Of the embedding of the template's last token there is none.
    good, bad = (Residuals(found.mean(0, dtype=torch.float64), found) for found in each)
    directions = METHOD().directions(Given(good, bad)).float()
    directions[0] = 0

    # Beside it a method that finds what nothing writes, one that finds both, and one that writes what nothing writes
    # and reads the first.
    noise = torch.randn(directions.shape, generator=torch.Generator().manual_seed(5))
    noise -= (noise * directions).sum(dim=-1, keepdim=True) * directions
    noise = torch.nn.functional.normalize(noise, dim=-1)
    by_method = {
        "mean_difference": MethodDirections(directions[:, None]),
        "noise": MethodDirections(noise[:, None]),
        "both": MethodDirections(torch.stack([noise, directions], dim=1)),
        "oblique": MethodDirections(noise[:, None], None, noise + directions),
    }
    leading = {"mean_difference": directions, "noise": noise, "both": directions, "oblique": noise}
    banks = EditBanks(model.anatomy.writers, by_method, edit_method("subtract"), 1 << 30)
    found = analyse_layers(
        model, store, FoundDirections(by_method, leading, banks), tokens["bad_evaluation_prompts"],
        tokens["good_evaluation_prompts"], 16, folder, Work(),
    )  # fmt: skip
    return model, found.to_json(), directions


def test_a_planted_direction_is_found_where_it_was_planted(
    analysed: tuple[ChatModel, dict[str, Any], torch.Tensor],
) -> None:
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
    rows = [LayerFigures.from_json(row) for row in found["layers"]]
    said = finding(rows, read(FirstTokens, found["refusal"]))
    assert said.title == f"Refusal is mediated in layers {PLANTED_AT}-3"
    assert any(point.startswith(f"Layer {PLANTED_AT} writes most of it") for point in said.points)
    assert f"It separates held-out prompts from layer {PLANTED_AT} on" in said.points[-1]


def test_each_method_has_the_effects_of_its_own_directions(
    analysed: tuple[ChatModel, dict[str, Any], torch.Tensor],
) -> None:
    _, found, _ = analysed
    assert found["method"] == "mean_difference"
    rows = {name: each[1:] for name, each in found["others"].items()}
    first, noise, both, oblique = (found["layers"][1:], rows["noise"], rows["both"], rows["oblique"])
    deepest = min(row["stream"] for row in first)
    for layer in range(PLANTED_AT, 4):
        for name, sign in (("edit", -1), ("stream", -1), ("add", 1)):
            assert sign * noise[layer][name] < 0.3 * max(sign * row[name] for row in first), (layer, name)
        assert both[layer]["stream"] < 0.5 * deepest, "the whole space is taken out"
        assert both[layer]["add"] == pytest.approx(first[layer]["add"]), "and the leading direction added"
        assert oblique[layer]["stream"] != pytest.approx(noise[layer]["stream"], abs=1e-3), "read along another"
    assert found["other_notes"]["noise"] == found["notes"] == []
    assert [note.partition(":")[0] for note in found["other_notes"]["both"]] == ["each layer has 2 directions"]
    row = both[PLANTED_AT]
    assert [each["raises"] for each in row["directions"]] == [noise[PLANTED_AT]["raises"], row["raises"]]
    assert "directions" not in noise[PLANTED_AT]


def test_the_unembedding_names_the_planted_token(analysed: tuple[ChatModel, dict[str, Any], torch.Tensor]) -> None:
    _, found, _ = analysed
    row = found["layers"][PLANTED_AT + 1]
    assert row["raises"][0][0] == WORD
    assert row["raises"][0][1] > 1.5 * row["raises"][1][1]
    assert (found["layers"][0]["raises"], found["layers"][0]["lowers"]) == ([], [])


def test_a_trial_that_takes_it_out_loses_the_planted_token(
    analysed: tuple[ChatModel, dict[str, Any], torch.Tensor],
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

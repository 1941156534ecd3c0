"""Prompts that a base model reads once, without padding, against its own way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from heretic_tui.engine.directions.residuals import gather_residuals
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring import reading
from heretic_tui.engine.measuring.prefill import Prefill
from heretic_tui.engine.measuring.reading import Reader, prefill_that_fits
from heretic_tui.engine.model.chat_model import Batch, ChatModel

Make = Callable[..., ChatModel]
KINDS = ("llama", "gpt2", "gpt_neox")


def sets_of(model: ChatModel) -> dict[str, list[Tokens]]:
    """Prompts of many lengths, in no order."""
    texts = [f"question {'so ' * (7 * number % 11)}{number}" for number in range(14)]
    return {
        "good_prompts": model.encode([Prompt(text, "") for text in texts[:9]]),
        "bad_prompts": model.encode([Prompt(text, "") for text in texts[9:]]),
    }


def following(model: ChatModel, rows: list[Tokens]) -> list[int]:
    found: dict[int, int] = {}

    def keep(batch: Batch) -> None:
        logits = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
        found.update(zip(batch.rows, logits.argmax(dim=-1).tolist(), strict=True))

    model.in_batches(rows, keep)
    return [found[row] for row in range(len(rows))]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quantile", [1.0, 0.9])
def test_residuals_and_next_tokens_are_those_of_the_models_own_way(
    make_model: Make, kind: str, quantile: float
) -> None:
    model = make_model(kind, batch_size=3)
    sets = sets_of(model)
    reader = Reader(model, sets, quantile)
    for name, rows in sets.items():
        expected, found = gather_residuals(model, rows, quantile), reader.residuals(name)
        torch.testing.assert_close(found.each, expected.each, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.mean, expected.mean, rtol=1e-4, atol=1e-5)
        assert reader.following(name, range(len(rows))) == following(model, rows)


def test_no_prompt_is_read_twice(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(batch_size=4)
    sets = sets_of(model)
    reader = Reader(model, sets, 1.0)
    read: list[int] = []
    begin = Prefill.begin

    def count(self: Prefill, name: str, rows: list[int], *others: object, **more: object) -> object:
        read.extend(rows)
        return begin(self, name, rows, *others, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Prefill, "begin", count)
    told: list[tuple[int, int]] = []
    first = reader.following("good_prompts", range(4))
    assert sorted(read) == [0, 1, 2, 3]
    reader.residuals("good_prompts", lambda done, total: told.append((done, total)))
    assert sorted(read) == list(range(9))
    assert told[-1] == (5, 5), "of those that were left"
    assert reader.following("good_prompts", range(4)) == first
    assert sorted(read) == list(range(9))


def test_it_is_read_in_padded_batches_where_the_short_way_gives_something_else(
    make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(batch_size=4)
    sets = sets_of(model)
    assert prefill_that_fits(model, sets)
    prefix_states = Prefill.prefix_states

    def wrong(self: Prefill, first_edited: int) -> object:
        found = prefix_states(self, first_edited)
        return type(found)(found.first_edited, [pair and (pair[0] * 2, pair[1]) for pair in found.cache])

    monkeypatch.setattr(Prefill, "prefix_states", wrong)
    assert prefill_that_fits(model, sets) is None
    expected = gather_residuals(model, sets["bad_prompts"])
    assert torch.equal(Reader(model, sets, 1.0).residuals("bad_prompts").each, expected.each)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_prompts_whose_residuals_are_no_numbers_are_named(make_model: Make, batch_size: int) -> None:
    model = make_model(batch_size=batch_size)
    sets = sets_of(model)
    # A token that only one prompt holds.
    others = {token for number, row in enumerate(sets["bad_prompts"]) for token in row if number != 3}
    lost = next(token for token in sets["bad_prompts"][3] if token not in others)
    with torch.no_grad():
        model.network.get_input_embeddings().weight[lost] = float("nan")
    with pytest.raises(NotFiniteError) as caught:
        Reader(model, sets, 1.0).residuals("bad_prompts")
    assert caught.value.rows == (3,)


def test_memory_that_runs_out_makes_the_batches_smaller_and_changes_nothing(
    make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(batch_size=8)
    sets = sets_of(model)
    expected = gather_residuals(make_model(batch_size=8), sets["good_prompts"])
    reader = Reader(model, sets, 1.0)
    begin = Prefill.begin

    def lack(self: Prefill, name: str, rows: list[int], *others: object, **more: object) -> object:
        if len(rows) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return begin(self, name, rows, *others, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Prefill, "begin", lack)
    torch.testing.assert_close(reader.residuals("good_prompts").each, expected.each, rtol=1e-4, atol=1e-5)
    assert model.batch_size <= 2


@pytest.mark.parametrize("packed", [True, False])
def test_residuals_are_the_same_to_the_last_bit_whatever_was_looked_at_first(
    make_model: Make, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(reading, "FIRST_READ", 5)
    model = make_model(batch_size=4)
    sets = sets_of(model)
    at_once, in_parts = Reader(model, sets, 1.0, packed), Reader(model, sets, 1.0, packed)
    assert at_once.way == in_parts.way == ("packed" if packed else "padded")
    in_parts.following("good_prompts", range(5))
    assert torch.equal(in_parts.residuals("good_prompts").each, at_once.residuals("good_prompts").each)
    if not packed:
        # As older versions read them.
        assert torch.equal(at_once.residuals("good_prompts").each, gather_residuals(model, sets["good_prompts"]).each)

"""The perplexity of texts: each token counted once, with what stands before it, as transformers computes it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing
from torch import Tensor

from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.review.perplexity import encode_texts, likelihood_of_texts, windows_of
from heretic_tui.errors import UsageError
from heretic_tui.work import Work
from tests.support import tiny_models
from tests.support.edited_models import Make, edits_for, merged

SIZE, STRIDE = 16, 6


def texts() -> list[Tokens]:
    generator = torch.Generator().manual_seed(4)
    lengths = (1, 2, 15, 16, 17, 40, 0, 23)
    return [torch.randint(0, 250, (length,), generator=generator).tolist() for length in lengths]


@pytest.mark.parametrize(("size", "stride"), [(16, 6), (16, 15), (2, 1), (100, 50), (7, 3)])
def test_each_token_but_the_first_is_counted_once_with_enough_before_it(size: int, stride: int) -> None:
    all_texts = texts()
    counted: list[tuple[int, int]] = []
    for window in windows_of(all_texts, size, stride):
        text = all_texts[window.text]
        assert len(window.tokens) <= size
        assert 0 < window.counted < len(window.tokens)
        # The windows of a text come one after the other.
        end = sum(number == window.text for number, _ in counted) + 1 + window.counted
        assert text[end - len(window.tokens) : end] == window.tokens
        assert len(window.tokens) - window.counted >= min(size - stride, end - window.counted)
        counted += [(window.text, place) for place in range(end - window.counted, end)]
    assert counted == [(number, place) for number, text in enumerate(all_texts) for place in range(1, len(text))]


@pytest.mark.parametrize("stride", [0, 16, 17, -1])
def test_windows_that_do_not_overlap_are_refused(stride: int) -> None:
    with pytest.raises(ValueError, match="stride"):
        windows_of(texts(), 16, stride)


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_it_is_that_of_transformers_with_the_edit_in_the_weights(make_model: Make, kind: str) -> None:
    model = make_model(kind)
    edits = edits_for(model, 0.8)
    network = merged(make_model, kind, edits)
    found = likelihood_of_texts(model, edits, texts(), Work(), SIZE, STRIDE)
    nats, tokens = [], []
    for text in texts():
        total, many, before = 0.0, 0, 0
        for begin in range(0, len(text), STRIDE):
            end = min(begin + SIZE, len(text))
            ids = torch.tensor([text[begin:end]])
            labels = ids.clone()
            labels[:, : ids.shape[1] - (end - before)] = -100
            here = int((labels[:, 1:] != -100).sum())
            if here:
                with torch.inference_mode():
                    total += float(network(ids, labels=labels).loss) * here
            many, before = many + here, end
            if end == len(text):
                break
        nats.append(total)
        tokens.append(many)
    assert found.nats == pytest.approx(nats, abs=1e-3)
    assert found.tokens.tolist() == tokens
    base = likelihood_of_texts(model, {}, texts(), Work(), SIZE, STRIDE)
    assert np.abs(base.nats - found.nats).max() > 0.1, "the edit changes something"
    assert not any(module._forward_hooks for module in model.network.modules())


def test_batches_change_nothing(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    expected = likelihood_of_texts(model, {}, texts(), Work(), SIZE, STRIDE)
    forward = ChatModel.logits
    rows: list[int] = []

    def counting(self: ChatModel, ids: Tensor, *rest: object, **more: object) -> Tensor:
        rows.append(len(ids))
        if len(ids) > 3:
            raise torch.OutOfMemoryError("too many rows")
        return forward(self, ids, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(ChatModel, "logits", counting)
    found = likelihood_of_texts(model, {}, texts(), Work(), SIZE, STRIDE)
    assert found.nats == pytest.approx(expected.nats, abs=1e-3)
    assert max(rows) > 3, "memory ran out once at least"
    assert model.batch_size == 8, "the search has its own batches"
    model.padding_safe = False
    assert likelihood_of_texts(model, {}, texts(), Work(), SIZE, STRIDE).nats == pytest.approx(expected.nats, abs=1e-3)
    monkeypatch.setattr("heretic_tui.engine.review.likelihood.memory_share", lambda device, share: 0)
    rows.clear()
    assert likelihood_of_texts(model, {}, texts(), Work(), SIZE, STRIDE).nats == pytest.approx(expected.nats, abs=1e-3)
    assert set(rows) == {1}


def test_windows_are_no_longer_than_what_the_model_was_made_for(make_model: Make) -> None:
    model = make_model("gpt2")
    long = [torch.randint(0, 250, (600,), generator=torch.Generator().manual_seed(1)).tolist()]
    found = likelihood_of_texts(model, {}, long, Work())
    expected = likelihood_of_texts(model, {}, long, Work(), 256, 128)
    assert found.tokens.tolist() == [599]
    assert found.nats == pytest.approx(expected.nats)


def test_texts_are_read_as_they_are(make_model: Make) -> None:
    model = make_model()
    (tokens,) = encode_texts(model, ["A plain text."])
    assert model.decode(tokens) == "A plain text."
    with pytest.raises(UsageError, match="no text of two tokens"):
        encode_texts(model, ["", "x"])
    with pytest.raises(UsageError, match="no text of two tokens"):
        encode_texts(model, [])


def test_a_text_begins_with_the_token_that_the_tokenizer_begins_texts_with(make_model: Make) -> None:
    model = make_model()
    tokenizer: Any = model.tokenizer
    tokenizer.bos_token = "<|system|>"
    # Some tokenizers end texts too; that is no part of the text.
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|system|> $A <|end|>", special_tokens=[("<|system|>", 258), ("<|end|>", 256)]
    )
    (tokens,) = encode_texts(model, ["ab"])
    assert tokens[0] == 258
    assert model.decode(tokens[1:]) == "ab"


def test_logits_that_are_not_finite_are_told_with_their_text(make_model: Make) -> None:
    model = make_model()
    edits = {name: Edit(edit.a, edit.b * math.nan, edit.c) for name, edit in edits_for(model, 1.0).items()}
    with pytest.raises(NotFiniteError) as raised:
        likelihood_of_texts(model, edits, [[1], [2, 3, 4]], Work(), SIZE, STRIDE)
    assert raised.value.rows == (1,)

"""Response prefix: what all responses begin with, despite strays; thinking openers are closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from heretic_tui.engine.inputs.chat_template import ChatTemplate
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.session.phases import response_prefix
from heretic_tui.engine.session.phases.response_prefix import detect_response_prefix
from heretic_tui.settings.schema import THINKING_SKIPS
from heretic_tui.work import Work
from tests.support import tiny_models

Make = Callable[..., ChatModel]
PROMPTS = [Prompt(f"question {i}", "") for i in range(60)]


def detect(
    model: ChatModel, monkeypatch: pytest.MonkeyPatch, say: Callable[[str, int], str], longest: int = 40
) -> tuple[str, str, list[str]]:
    """Detection with responses that `say` gives for the prefix so far and the row: no random network says `<think>`."""
    seen: list[str] = []

    class Reader:
        """Reads what `say` gives."""

        def __init__(self, model: ChatModel, sets: dict[str, list[list[int]]], quantile: float) -> None:
            self.sets = sets

        def following(self, name: str, rows: Sequence[int], progress: Any = None) -> list[int]:
            said = [model.tokenizer(say(model.response_prefix, row), add_special_tokens=False) for row in rows]
            return [(each["input_ids"] or [min(model.end_tokens)])[0] for each in said]

    def greedy(model: ChatModel, tokens: Sequence[Any], length: int, progress: Any = None) -> list[list[int]]:
        seen.append(model.response_prefix)
        texts = [say(model.response_prefix, row) for row in range(len(tokens))]
        return [model.tokenizer(text, add_special_tokens=False)["input_ids"][:length] for text in texts]

    monkeypatch.setattr(response_prefix, "greedy", greedy)
    monkeypatch.setattr(response_prefix, "Reader", Reader)
    found, reader = detect_response_prefix(model, {"good_prompts": PROMPTS}, THINKING_SKIPS, longest, 1.0, Work())
    if reader:
        assert reader.sets == {"good_prompts": model.encode(PROMPTS)}, "read as they are with the prefix"
    assert model.response_prefix == found.prefix
    return found.prefix, found.source, seen


def test_what_all_responses_begin_with_is_found(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    found, source, _ = detect(make_model(), monkeypatch, lambda before, row: f"Answer: {row} and more"[len(before) :])
    # No trailing space: in most vocabularies it belongs to the next word.
    assert (found, source) == ("Answer:", "detected")


def test_one_empty_response_hides_nothing(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    found, *_ = detect(make_model(), monkeypatch, lambda before, row: "" if row == 7 else f"Answer: {row}")
    assert found == "Answer:"


def test_different_responses_have_no_prefix(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    found, *_ = detect(make_model(), monkeypatch, lambda before, row: f"{chr(97 + row % 26)} is the answer")
    assert found == ""


def test_a_thinking_opener_is_closed_and_the_detection_runs_once_more(
    make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(before: str, row: int) -> str:
        return f"\n\nSo, {row}" if "</think>" in before else f"<think>\nOkay, {row}"

    found, _, seen = detect(make_model(), monkeypatch, say)
    assert found == "<think></think>\n\nSo,"
    assert "<think></think>" in seen


def test_a_template_that_opens_a_thinking_block_gets_it_closed(
    make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    model.template = ChatTemplate(
        tiny_models.tokenizer(tiny_models.TEMPLATE.replace("<|assistant|>{%", "<|assistant|><think>\n{%"))
    )
    _, source, _ = detect(model, monkeypatch, lambda before, row: f"{chr(97 + row % 26)}")
    assert source == "chat template"
    assert model.render(PROMPTS[0]).replace("\n", "").endswith("<think></think>")


def test_a_model_that_says_the_same_to_everything_has_no_prefix(
    make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, *_ = detect(
        make_model(), monkeypatch, lambda before, row: "the same to all, at any length, for ever and ever"
    )
    assert found == ""


def test_on_a_real_network_the_prefix_is_what_it_says(make_model: Make) -> None:
    model = make_model()
    found, _ = detect_response_prefix(model, {"good_prompts": PROMPTS[:8]}, THINKING_SKIPS, 6, 1.0, Work())
    assert isinstance(found.prefix, str)
    assert model.render(PROMPTS[0]).endswith(found.prefix)

"""Sampling of a chat's tokens, and an answer as it is streamed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from heretic_tui import events as ev
from heretic_tui.commands import Chat, Sampling
from heretic_tui.control import Control
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.engine.model.decoding import greedy, pick
from heretic_tui.errors import HereticError
from heretic_tui.work import Work
from tests.support.chats import say

JUDGE = Markers(["sorry"], [("<think>", "</think>")])
LOGITS = torch.log(torch.tensor([0.1, 0.5, 0.15, 0.25]))


def drawn(**how: float) -> Counter[int]:
    generator = torch.Generator().manual_seed(0)
    return Counter(pick(LOGITS, Sampling(**how), generator) for _ in range(4000))  # type: ignore[arg-type]


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    counts = drawn(temperature=1.0)
    for token, share in enumerate((0.1, 0.5, 0.15, 0.25)):
        assert abs(counts[token] / 4000 - share) < 0.03


def test_temperature_zero_takes_the_most_likely_and_top_p_the_smallest_set() -> None:
    assert set(drawn(temperature=0.0)) == {1}
    assert set(drawn(temperature=1.0, top_p=0.01)) == {1}
    assert set(drawn(temperature=1.0, top_p=0.7)) == {1, 3}
    # 0.5 + 0.25 fill it exactly; the third token begins where the set is full.
    assert set(drawn(temperature=1.0, top_p=0.75)) <= {1, 3, 2}
    assert set(drawn(temperature=1.0, top_p=0.8)) == {1, 3, 2}


def test_an_answer_is_what_generate_gives_and_comes_in_pieces(make_model: Callable[..., Any]) -> None:
    model = make_model()
    said: list[ev.Event] = []
    chat = Chat(7, None, (("user", "Hello there"),), "Be short.", Sampling(temperature=0, max_tokens=20))
    say(model, JUDGE, chat, Work(said.append))
    tokens = torch.tensor([model.encode_turns("Be short.", chat.turns, False)])
    made = model.network.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=20, do_sample=False)
    expected = [token for token in made[0, tokens.shape[1] :].tolist() if token not in model.end_tokens]
    assert "".join(event.text for event in said if isinstance(event, ev.ChatDelta)) == model.decode(expected)
    end = said[-1]
    assert isinstance(end, ev.ChatEnded)
    assert (end.id, end.tokens) == (7, len(expected))


def test_a_stopped_answer_keeps_what_was_said(make_model: Callable[..., Any]) -> None:
    control, said = Control(), []

    def hear(event: ev.Event) -> None:
        said.append(event)
        control.abort()

    say(make_model(), JUDGE, Chat(1, None, (("user", "Hello"),), "", Sampling(max_tokens=500)), Work(hear, control))
    assert isinstance(said[-1], ev.ChatEnded)
    assert said[-1].reason in ("stopped", "end")
    assert said[-1].tokens < 500


def deltas(said: list[ev.Event]) -> str:
    return "".join(event.text for event in said if isinstance(event, ev.ChatDelta))


def test_an_answer_begins_with_the_response_prefix_as_trials_do(make_model: Callable[..., Any]) -> None:
    model = make_model()
    model.response_prefix = "As we know"
    chat = Chat(1, None, (("user", "Hello there"),), "Be short.", Sampling(max_tokens=6))
    said: list[ev.Event] = []
    say(model, JUDGE, chat, Work(said.append))
    (measured,) = greedy(model, model.encode([Prompt("Hello there", "Be short.")]), 6)
    assert deltas(said) == "As we know" + model.decode(measured)
    thought: list[ev.Event] = []
    say(model, JUDGE, replace(chat, thinking=True), Work(thought.append))
    assert not deltas(thought).startswith("As we know")


def test_a_model_that_ends_at_once_says_nothing(make_model: Callable[..., Any]) -> None:
    model = make_model()
    model.end_tokens = frozenset(range(model.network.config.vocab_size))
    said: list[ev.Event] = []
    say(model, JUDGE, Chat(1, None, (("user", "Hello"),), ""), Work(said.append))
    assert [(type(event), getattr(event, "reason", None)) for event in said] == [(ev.ChatEnded, "end")]


def test_no_token_is_picked_from_what_is_no_number(make_model: Callable[..., Any]) -> None:
    model = make_model()
    model.network.lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(HereticError, match="not numbers"):
        say(model, JUDGE, Chat(1, None, (("user", "Hello"),), ""), Work())

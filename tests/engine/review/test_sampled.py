"""Sampled answers: each is what its prompt, its edit and its seed give, whatever is decoded beside it."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from heretic_tui.commands import Sampling
from heretic_tui.control import Aborted, Control
from heretic_tui.engine.edits.attach import Edits
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.run_judge import RunJudge
from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import greedy
from heretic_tui.engine.review.sampled import SampledAnswers, own_sampling, sample_answers
from heretic_tui.engine.search.sampler import seed_of
from heretic_tui.events import Event, Progress
from heretic_tui.work import Work
from tests.support import tiny_models
from tests.support.edited_models import Make, edits_for, merged, rows_of_tokens

PROMPTS = rows_of_tokens(5, 1)
HOW = Sampling(temperature=0.8, top_p=0.9, max_tokens=12, seed=7)
COUNT = 3
NEVER = RunJudge(Markers(["\x00 never"]))


def drawn(model: ChatModel, edits: list[Edits], how: Sampling = HOW, together: bool = True) -> list[SampledAnswers]:
    return sample_answers(model, NEVER, PROMPTS, edits, how, COUNT, together, Work())


def texts(sampled: SampledAnswers) -> list[list[str]]:
    return [[response.text for response in some] for some in sampled.responses]


def by_hand(network: Any, prompt: Tokens, seed: int, how: Sampling) -> Tokens:
    """An answer drawn token by token by the definition of temperature and top-p."""
    generator = torch.Generator().manual_seed(seed)
    made: Tokens = []
    while len(made) < how.max_tokens:
        with torch.inference_mode():
            logits = network(torch.tensor([prompt + made])).logits[0, -1].double()
        order = sorted(range(len(logits)), key=lambda token: -float(logits[token]))
        likely = torch.softmax(logits / how.temperature, dim=-1).tolist()
        sums = list(accumulate(likely[token] for token in order))
        kept = sums[: 1 + sum(so_far < how.top_p for so_far in sums)]
        target = float(torch.rand((), generator=generator)) * kept[-1]
        token = order[next(place for place, so_far in enumerate(kept) if so_far > target)]
        if token == 256:
            break
        made.append(token)
    return made


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_answers_are_drawn_from_the_model_with_the_edit_in_its_weights(make_model: Make, kind: str) -> None:
    model = make_model(kind, batch_size=7)
    edits: list[Edits] = [{}, edits_for(model, 0.8)]
    for sampled, each in zip(drawn(model, edits), edits, strict=True):
        network = merged(make_model, kind, dict(each))
        assert sampled.sampling == HOW
        for prompt, some in enumerate(sampled.responses):
            assert len(some) == COUNT
            for number, response in enumerate(some):
                expected = by_hand(network, PROMPTS[prompt], seed_of(7, prompt, number), HOW)
                assert response.text == model.decode(expected)
                assert response.tokens == len(expected)


def test_what_is_drawn_depends_on_nothing_beside_it(make_model: Make) -> None:
    model = make_model(batch_size=20)
    edits: list[Edits] = [edits_for(model, 0.8), {}, edits_for(model, 2.0, seed=8)]
    together = [texts(sampled) for sampled in drawn(model, edits)]
    assert [texts(sampled) for sampled in drawn(model, edits, together=False)] == together
    model.batch_size = 2
    for each, expected in zip(edits, together, strict=True):
        assert texts(drawn(model, [each])[0]) == expected
    assert together[0] != together[1] != together[2]
    assert any(len(set(some)) == COUNT for some in together[1]), "answers to one prompt differ"
    assert texts(drawn(model, [{}], replace(HOW, seed=8))[0]) != together[1]


def test_at_temperature_zero_every_answer_is_the_greedy_one(make_model: Make) -> None:
    model = make_model(batch_size=4)
    (sampled,) = drawn(model, [{}], replace(HOW, temperature=0.0))
    greedily = [model.decode(tokens) for tokens in greedy(model, PROMPTS, HOW.max_tokens)]
    assert texts(sampled) == [[text] * COUNT for text in greedily]


def test_refused_answers_are_counted_and_end_where_that_is_certain(make_model: Make) -> None:
    model = make_model(batch_size=6)
    (whole,) = drawn(model, [{}], replace(HOW, temperature=1.5))
    said = [text.lower() for some in texts(whole) for text in some]
    letters = {letter for text in said for letter in text if letter.isalnum() and letter.isascii()}
    # One that some answers have and some have not.
    marker = min(letters, key=lambda letter: (abs(sum(letter in text for text in said) - 5), letter))
    judge = RunJudge(Markers([marker]))
    (cut,) = sample_answers(model, judge, PROMPTS, [{}], replace(HOW, temperature=1.5), COUNT, True, Work())
    refused = [[judge.verdict(text, True).refused for text in some] for some in texts(whole)]
    assert cut.refused.tolist() == refused
    assert cut.by_prompt == pytest.approx([sum(some) / COUNT for some in refused])
    assert cut.at_least_once.tolist() == [any(some) for some in refused]
    assert 0 < cut.refused.mean() < 1
    for some, complete in zip(cut.responses, whole.responses, strict=True):
        for response, full in zip(some, complete, strict=True):
            assert response.whole or response.verdict.refused
            # A cut may be in the middle of a character.
            assert full.text.startswith(response.text.rstrip("\ufffd"))
            assert (response.text == full.text) or not response.whole
    assert any(not response.whole for some in cut.responses for response in some)


def test_answers_stay_within_the_positions_of_the_model(make_model: Make) -> None:
    model = make_model("gpt2", batch_size=4)
    prompt = [9] * 247
    (sampled,) = sample_answers(model, NEVER, [prompt], [{}], replace(HOW, max_tokens=50), 1, True, Work())
    # The last token is not read.
    assert sampled.responses[0][0].tokens <= 10


def test_progress_is_told_and_an_abort_is_heard(make_model: Make) -> None:
    model = make_model(batch_size=4)
    told: list[Event] = []
    sample_answers(model, NEVER, PROMPTS, [{}], HOW, COUNT, True, Work(told.append))
    last = [event for event in told if isinstance(event, Progress)][-1]
    assert (last.done, last.total) == (15, 15)
    control = Control()
    control.abort()
    with pytest.raises(Aborted):
        sample_answers(model, NEVER, PROMPTS, [{}], HOW, COUNT, True, Work(None, control))
    with pytest.raises(ValueError, match="seed"):
        sample_answers(model, NEVER, PROMPTS, [{}], replace(HOW, seed=None), COUNT, True, Work())


def test_logits_that_are_not_finite_are_an_error(make_model: Make) -> None:
    model = make_model(batch_size=4)
    edits = {name: Edit(edit.a, edit.b * math.nan, edit.c) for name, edit in edits_for(model, 1.0).items()}
    with pytest.raises(NotFiniteError):
        drawn(model, [edits])
    assert not any(module._forward_hooks for module in model.network.modules())


@pytest.mark.parametrize(
    ("own", "temperature", "top_p"),
    [
        ({}, 0.7, 0.95),
        ({"do_sample": True, "temperature": 0.6, "top_p": 0.9}, 0.6, 0.9),
        ({"temperature": 1, "top_p": 1}, 1.0, 1.0),
        ({"temperature": 0.0, "top_p": 0.0}, 0.7, 0.95),
        ({"temperature": "hot", "top_p": 1.5}, 0.7, 0.95),
        ({"temperature": math.nan, "top_p": True}, 0.7, 0.95),
        ({"temperature": math.inf, "top_p": -0.5}, 0.7, 0.95),
    ],
)
def test_a_model_is_sampled_as_its_generation_settings_say_where_they_say_what_can_be(
    make_model: Make, own: dict[str, object], temperature: float, top_p: float
) -> None:
    model = make_model()
    settings = GenerationConfig()
    for name, value in own.items():
        setattr(settings, name, value)
    network: Any = model.network
    network.generation_config = settings
    assert own_sampling(model, 40, 5) == Sampling(temperature, top_p, 40, 5)
    network.generation_config = None
    assert own_sampling(model, 40, 5) == Sampling(0.7, 0.95, 40, 5)

"""What an edit does along the original's own answers, as transformers computes it with the edit in the weights."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.job import Pool
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import greedy
from heretic_tui.engine.review.damage import (
    NOWHERE,
    Damage,
    GreedyAnswers,
    Reference,
    greedy_answers,
    measure_damage,
    reference_of,
)
from heretic_tui.engine.review.likelihood import Likelihood
from heretic_tui.errors import HereticError
from heretic_tui.events import Event, Progress
from heretic_tui.work import Work
from tests.support import tiny_models
from tests.support.edited_models import Make, edits_for, job_of, merged, pool_for, rows_of_tokens

LENGTH, POSITIONS, WITHIN = 24, 5, 20
PROMPTS = rows_of_tokens(9, 1)


def with_ends(model: ChatModel) -> ChatModel:
    """The same model, to which two tokens that it says now and then mean the end of an answer too."""
    said = greedy(model, PROMPTS, LENGTH)
    model.end_tokens = frozenset({256, said[0][3], said[1][12]})
    return model


def generated(network: Any, prompt: Tokens, ends: frozenset[int], most: int) -> tuple[Tokens, bool]:
    """A greedy answer of transformers' own, without its end, and whether it ended."""
    config = GenerationConfig(max_new_tokens=most, do_sample=False, eos_token_id=sorted(ends), pad_token_id=260)
    ids = torch.tensor([prompt])
    out = network.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)[
        0, len(prompt) :
    ].tolist()
    return (out[:-1], True) if out[-1] in ends else (out, False)


def measured(model: ChatModel, pool: Pool, edits: dict[str, Edit]) -> tuple[Reference, Damage]:
    reference = reference_of(model, pool, greedy_answers(model, PROMPTS, LENGTH, Work()), Work(), POSITIONS)
    return reference, measure_damage(model, pool, job_of(model, edits), reference, Work(), WITHIN)


@pytest.mark.parametrize("kind", tiny_models.KINDS)
@pytest.mark.parametrize("plain", [False, True])
def test_the_figures_are_those_of_transformers_with_the_edit_in_the_weights(
    make_model: Make, kind: str, plain: bool
) -> None:
    model = with_ends(make_model(kind, batch_size=4))
    ends, edits = model.end_tokens, edits_for(model, 0.8)
    pool = pool_for(model, PROMPTS, plain)
    reference, damage = measured(model, pool, edits)
    unedited = measure_damage(model, pool, job_of(model, {}), reference, Work(), WITHIN)
    base, edited = merged(make_model, kind, {}), merged(make_model, kind, edits)
    assert damage.kl_divergence.shape == (len(PROMPTS), POSITIONS)
    for row, prompt in enumerate(PROMPTS):
        answer, ended = generated(base, prompt, ends, LENGTH)
        assert reference.answers.answers[row] == answer
        assert reference.answers.ended[row] == ended
        ids = torch.tensor([prompt + answer])
        with torch.inference_mode():
            p, q = (network(ids).logits[0, len(prompt) - 1 :].log_softmax(dim=-1) for network in (base, edited))
        choices = len(answer) + ended
        kl = (p.exp() * (p - q)).sum(dim=-1)[: min(POSITIONS, choices)]
        found = damage.kl_divergence[row]
        assert found[: len(kl)] == pytest.approx(kl.numpy(), abs=1e-4)
        assert np.isnan(found[len(kl) :]).all()
        for likelihood, of in ((unedited.likelihood, p), (damage.likelihood, q)):
            nats = -sum(float(of[place, token]) for place, token in enumerate(answer))
            nats -= math.log(sum(math.exp(of[len(answer), end]) for end in ends)) if ended else 0
            assert likelihood.nats[row] == pytest.approx(nats, abs=1e-3)
            assert likelihood.tokens[row] == choices
        # As an answer that is decoded under the edit differs from the original's.
        other, other_ended = generated(edited, prompt, ends, WITHIN)
        one, two = (each[:WITHIN] + [-1] * end for each, end in ((answer, ended), (other, other_ended)))
        pairs = zip(one[:WITHIN], two[:WITHIN], strict=False)
        expected = next((place for place, (a, b) in enumerate(pairs) if a != b), NOWHERE)
        assert damage.changed_at[row] == expected
    assert 0 < damage.changed.sum() < len(PROMPTS), "some answers change, some do not"
    assert set(reference.answers.ended) == {True, False}
    assert any(len(answer) < POSITIONS for answer in reference.answers.answers), "one is shorter than is looked at"


@pytest.mark.parametrize("plain", [False, True])
def test_the_original_model_has_no_damage(make_model: Make, plain: bool) -> None:
    model = with_ends(make_model(batch_size=4))
    _, damage = measured(model, pool_for(model, PROMPTS, plain), {})
    assert damage.kl_by_prompt.mean() == pytest.approx(0, abs=1e-6)
    assert not damage.changed.any()


def test_a_stronger_edit_does_more_damage(make_model: Make) -> None:
    model = make_model(batch_size=4)
    pool = pool_for(model, PROMPTS, False)
    # Not the weakest: what a model answers greedily it does not find likeliest on the whole, and a slight change may
    # even make it likelier.
    reference, mild = measured(model, pool, edits_for(model, 1.5))
    none, strong = (
        measure_damage(model, pool, job_of(model, edits), reference, Work(), WITHIN)
        for edits in ({}, edits_for(model, 6.0))
    )
    assert 0 < mild.kl_by_prompt.mean() < strong.kl_by_prompt.mean()
    assert mild.changed.sum() < strong.changed.sum()
    assert none.likelihood.nats.sum() < mild.likelihood.nats.sum() < strong.likelihood.nats.sum()


def test_batches_and_memory_change_no_figure(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = with_ends(make_model(batch_size=9))
    edits = edits_for(model, 0.8)
    _, expected = measured(model, pool_for(model, PROMPTS, False), edits)
    monkeypatch.setattr("heretic_tui.engine.review.likelihood.memory_share", lambda device, share: 0)
    model.batch_size = 2
    _, found = measured(model, pool_for(model, PROMPTS, False), edits)
    assert found.kl_divergence == pytest.approx(expected.kl_divergence, abs=1e-5, nan_ok=True)
    assert found.changed_at.tolist() == expected.changed_at.tolist()


def test_which_of_two_equally_likely_tokens_the_original_took_is_no_change(make_model: Make) -> None:
    model = make_model(batch_size=4)
    pool = pool_for(model, PROMPTS, False)
    answers = greedy_answers(model, PROMPTS, 6, Work())
    # As if it had been decoded with other rounding: the last token is another one than the pass finds.
    other = [[*answer[:-1], (answer[-1] + 1) % 250] for answer in answers.answers]
    reference = reference_of(model, pool, dataclasses.replace(answers, answers=other), Work())
    damage = measure_damage(model, pool, job_of(model, {}), reference, Work())
    assert damage.changed_at.tolist() == [NOWHERE] * len(PROMPTS)


def test_an_answer_that_ends_at_once_is_looked_at_too(make_model: Make) -> None:
    model = make_model(batch_size=4)
    first = {answer[0] for answer in greedy(model, PROMPTS, 1)}
    model.end_tokens = frozenset({256, *first})
    reference, damage = measured(model, pool_for(model, PROMPTS, False), edits_for(model, 3.0))
    assert list(reference.answers.answers) == [[]] * len(PROMPTS)
    assert damage.prompts_by_position.tolist() == [len(PROMPTS), 0, 0, 0, 0]
    assert set(damage.changed_at.tolist()) <= {0, NOWHERE}
    assert damage.likelihood.tokens.tolist() == [1] * len(PROMPTS)


def test_logits_that_are_not_finite_are_told_with_their_prompt(make_model: Make) -> None:
    model = make_model(batch_size=4)
    pool = pool_for(model, PROMPTS, False)
    edits = {name: Edit(edit.a, edit.b * math.nan, edit.c) for name, edit in edits_for(model, 1.0).items()}
    with pytest.raises(NotFiniteError) as raised:
        measured(model, pool, edits)
    assert set(raised.value.rows) <= set(range(len(PROMPTS)))
    assert not any(module._forward_hooks for module in model.network.modules()), "no edit is left behind"


def test_a_model_with_another_vocabulary_is_refused(make_model: Make) -> None:
    model = make_model(batch_size=4)
    pool = pool_for(model, PROMPTS, False)
    reference, _ = measured(model, pool, {})
    fewer = dataclasses.replace(reference, log_probabilities=reference.log_probabilities[..., 1:])
    with pytest.raises(HereticError, match="logits for 261 tokens and the original model for 260"):
        measure_damage(model, pool, job_of(model, {}), fewer, Work())


def test_progress_is_told_and_an_abort_is_heard(make_model: Make) -> None:
    model = make_model(batch_size=2)
    pool = pool_for(model, PROMPTS, False)
    told: list[Event] = []
    answers = greedy_answers(model, PROMPTS, 4, Work(told.append))
    reference = reference_of(model, pool, answers, Work(told.append))
    last = {event.stage: (event.done, event.total) for event in told if isinstance(event, Progress)}
    assert set(last.values()) == {(len(PROMPTS), len(PROMPTS))}
    assert len(last) == 2
    control = Control()
    control.abort()
    with pytest.raises(Aborted):
        greedy_answers(model, PROMPTS, 4, Work(None, control))
    with pytest.raises(Aborted):
        measure_damage(model, pool, job_of(model, {}), reference, Work(None, control))


def test_means_leave_out_what_is_not_there() -> None:
    kl = np.array([[1.0, math.nan, math.nan], [2.0, 4.0, math.nan]])
    damage = Damage(kl, Likelihood(np.zeros(2), np.ones(2, np.int64)), np.array([NOWHERE, 3]), 20)
    assert damage.kl_by_prompt.tolist() == [1.0, 3.0]
    assert damage.kl_by_position[:2].tolist() == [1.5, 4.0]
    assert math.isnan(damage.kl_by_position[2])
    assert damage.prompts_by_position.tolist() == [2, 1, 0]
    assert damage.changed.tolist() == [0.0, 1.0]


def test_what_is_given_ends_where_no_token_follows() -> None:
    answers = GreedyAnswers([[1, 2], [3]], [[4, 5, 6], [7]], [False, True], frozenset({9}))
    assert list(answers.forced.rows) == [[1, 2, 4, 5], [3, 7]]
    assert [answers.choices(0), answers.choices(1)] == [3, 2]
    assert answers.forced.positions == 3
    assert answers.forced is answers.forced

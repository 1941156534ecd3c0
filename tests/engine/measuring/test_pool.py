"""Trials measured together, from kept states, up to their verdicts: the same figures as one at a time from scratch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from transformers import MistralConfig, MistralForCausalLM, PreTrainedModel

from heretic_tui.engine.anatomy.matrix_names import ATTENTION, MLP
from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.engine.measuring.base_model import base_figures, first_tokens
from heretic_tui.engine.measuring.fast_pool import FastPool
from heretic_tui.engine.measuring.job import Evaluation, Forced, Job
from heretic_tui.engine.measuring.odds import History, Odds, Past
from heretic_tui.engine.measuring.open_pool import open_pool
from heretic_tui.engine.measuring.plain_pool import PlainPool
from heretic_tui.engine.measuring.prefill import Prefill, PrefixStates
from heretic_tui.engine.measuring.run_judge import RunJudge
from heretic_tui.engine.measuring.speculation import Speculation, StepCost
from heretic_tui.engine.metrics.base import metrics_named
from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.engine.metrics.kl_divergence import KLDivergence
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import greedy
from heretic_tui.events import Event, Notice
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.work import Work
from tests.support import tiny_models
from tests.support.definitions import bases
from tests.support.trial_course import measured

Make = Callable[..., ChatModel]
LENGTH = 24
NO_COST = StepCost({})
STOPPING = ("kl_divergence", "refusals")


def prompts(count: int, seed: int, prefix: int = 7) -> list[list[int]]:
    """Rows of different lengths that begin alike."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 25, (count,), generator=generator).tolist()
    return [[*range(prefix), *torch.randint(0, 250, (n,), generator=generator).tolist()] for n in lengths]


def evaluation(model: ChatModel) -> Evaluation:
    bad = prompts(14, 2)
    metrics = metrics_named(["kl_divergence", "refusals"], "", LENGTH)
    made = Evaluation(
        prompts(9, 1), bad, LENGTH, metrics, RunJudge(Markers(markers(model, bad), special_tokens=tiny_models.SPECIAL))
    )
    base = first_tokens(PlainPool(model, made, Work()), Job(None, {}, model.depth), 9)
    assert base_figures(metrics, base, []) == {"kl_divergence": 0.0, "refusals": 0}
    return made


def markers(model: ChatModel, rows: list[list[int]]) -> list[str]:
    """Letters that a random model says now and then, and not at once: some rows are decided by them soon, some late,
    some never."""
    said = [model.decode(response).lower() for response in greedy(model, rows, LENGTH)]
    letters = {letter for text in said for letter in text if letter.isascii() and letter.isprintable()} - set("* '")
    return sorted(letters, key=lambda letter: (abs(sum(letter in text for text in said) - 5), letter))[:2]


def parameters(number: int, depth: int = 4) -> Parameters:
    rng = torch.Generator().manual_seed(100 + number)
    draws = torch.rand(9, generator=rng, dtype=torch.float64).tolist()
    last = depth - 1
    kernels = {}
    for name, (weight, position, floor, reach) in zip((ATTENTION, MLP), (draws[1:5], draws[5:9]), strict=True):
        kernels[name] = Kernel(1.5 * weight, position * last, floor, 0.3 + 2 * reach)
    return Parameters(None if draws[0] < 0.3 else draws[0] * last, kernels)


def jobs(model: ChatModel, count: int, rank: int = 1, **options: object) -> list[Job]:
    directions = nn.functional.normalize(torch.randn(5, 32, generator=torch.Generator().manual_seed(3)), dim=-1)
    if rank > 1:
        directions = bases(4, rank, 32)
    bank = EditBank(model.anatomy.writers, directions, edit_method("norm_preserving"), 1 << 30)
    made = []
    for number in range(count):
        edits = bank.edits(parameters(number))
        first = min((w.layer for w in model.anatomy.writers if w.name in edits), default=model.depth)
        made.append(Job(number, edits, first, **options))  # type: ignore[arg-type]
    return made


def verdicts(job: Job) -> list[bool | None]:
    return [response.verdict.refused if response else None for response in job.responses]


@pytest.mark.parametrize("kind", tiny_models.KINDS)
@pytest.mark.parametrize(("at_once", "batch_size"), [(1, 20), (3, 9)])
def test_twenty_trials_have_the_figures_of_the_plain_way(
    make_model: Make, kind: str, at_once: int, batch_size: int
) -> None:
    model = make_model(kind, batch_size=batch_size)
    what = evaluation(model)
    fast, together = open_pool(model, what, NO_COST, Work())
    assert isinstance(fast, FastPool)
    assert together
    plain = PlainPool(model, what, Work())
    found, expected = measured(fast, jobs(model, 20), at_once), measured(plain, jobs(model, 20), 1)
    for one, other in zip(found, expected, strict=True):
        assert one.figures == pytest.approx(other.figures, abs=1e-5)
        assert verdicts(one) == verdicts(other)
    # Where two tokens are equally likely to the last digit, either may come.
    texts = [[r.text for job in done for r in job.responses if r] for done in (found, expected)]
    assert len(texts[0]) == 20 * 14
    assert sum(one != other for one, other in zip(*texts, strict=True)) <= 2
    assert len({job.refusals for job in found}) > 2, "the edits must matter"
    assert any(not r.whole for job in found for r in job.responses if r), "some must be decided before their end"
    assert not any(m._forward_hooks or "forward" in m.__dict__ for m in model.network.modules()), "nothing is left"


def test_trials_that_take_several_directions_out_have_the_figures_of_the_plain_way(make_model: Make) -> None:
    model = make_model(batch_size=9)
    what = evaluation(model)
    fast, together = open_pool(model, what, NO_COST, Work())
    assert isinstance(fast, FastPool)
    assert together
    found = measured(fast, jobs(model, 6, rank=3), 3)
    expected = measured(PlainPool(model, what, Work()), jobs(model, 6, rank=3), 1)
    for one, other in zip(found, expected, strict=True):
        assert one.figures == pytest.approx(other.figures, abs=1e-5)
        assert verdicts(one) == verdicts(other)
    alone = measured(PlainPool(model, what, Work()), jobs(model, 6), 1)
    assert [job.figures for job in found] != [job.figures for job in alone]


def test_both_pools_find_the_same_responses_broken(make_model: Make) -> None:
    model = make_model(batch_size=9)
    what = evaluation(model)
    counting = dataclasses.replace(what, judge=dataclasses.replace(what.judge, count_broken=True))
    fast, _ = open_pool(model, counting, NO_COST, Work())
    assert isinstance(fast, FastPool)
    plain = PlainPool(model, counting, Work())
    found, expected = measured(fast, jobs(model, 6), 3), measured(plain, jobs(model, 6), 1)
    kinds = [[[r.verdict.broken for r in job.responses if r] for job in done] for done in (found, expected)]
    assert kinds[0] == kinds[1]
    assert any(any(each) for each in kinds[0]), "a model without training loops now and then"
    assert all(r.verdict.refused and r.whole for job in found for r in job.responses if r and r.verdict.broken)
    assert [job.refusals for job in found] == [job.refusals for job in expected]


def test_verdicts_are_those_of_the_full_response(make_model: Make) -> None:
    model = make_model(batch_size=20)
    what = evaluation(model)
    never = Evaluation(
        what.good,
        what.bad,
        what.length,
        what.metrics,
        RunJudge(Markers(["\x00 never"], special_tokens=tiny_models.SPECIAL)),
    )
    whole, _ = open_pool(model, never, NO_COST, Work())
    fast, _ = open_pool(model, what, NO_COST, Work())
    for full, cut in zip(measured(whole, jobs(model, 8), 1), measured(fast, jobs(model, 8), 1), strict=True):
        assert verdicts(cut) == [
            what.judge.verdict(response.text, True).refused for response in full.responses if response
        ]


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_guesses_from_earlier_trials_change_nothing_but_the_number_of_steps(make_model: Make, kind: str) -> None:
    model = make_model(kind, batch_size=9)
    what = evaluation(model)
    plain, _ = open_pool(model, what, NO_COST, Work())
    # A step costs the same for one token and for hundreds, as where reading the weights takes all the time.
    guessing, _ = open_pool(model, what, StepCost({1: 1.0, 1000: 1.0}), Work())
    steps: dict[str, int] = {}
    results = {}
    for name, pool in (("plain", plain), ("guessing", guessing)):
        assert isinstance(pool, FastPool)
        before = pool.steps.count
        results[name] = measured(pool, jobs(model, 12), 2)
        steps[name] = pool.steps.count - before
    for one, other in zip(results["plain"], results["guessing"], strict=True):
        assert verdicts(one) == verdicts(other)
    texts = [[r.text for job in done for r in job.responses if r] for done in results.values()]
    assert sum(one != other for one, other in zip(*texts, strict=True)) <= 2
    assert steps["guessing"] < 0.8 * steps["plain"]


def test_guessing_is_left_alone_where_every_token_costs(make_model: Make) -> None:
    dear = Speculation(1, StepCost({1: 0.5, 100: 50.0}))
    dear.add(0, [1, 2, 3, 4])
    assert dear.block([(0, [1])] * 20) == 1
    cheap = Speculation(1, StepCost({1: 1.0, 1000: 1.01}))
    cheap.add(0, [1, 2, 3, 4])
    assert cheap.block([(0, [1])] * 20) == 8
    assert cheap.block([(0, [7])] * 20) == 1, "there is nothing to guess from"
    for _ in range(20):
        cheap.learn(10, 0)
    assert cheap.block([(0, [1])] * 20) == 1, "guesses that are never right are given up"
    assert cheap.guess(0, [1, 2], 8) == [3, 4]
    assert cheap.guess(0, [1, 2], 1) == [3]
    assert cheap.guess(0, [2], 1) == []
    assert Speculation(1, NO_COST).block([(0, [1])]) == 1


def layers_passed(model: ChatModel, prefill: Prefill, first_edited: int) -> list[int]:
    """The layers that prompts are taken through."""
    ran: set[int] = set()
    hooks = [
        layer.get_submodule("self_attn").register_forward_hook(lambda *args, number=number: ran.add(number))
        for number, layer in enumerate(model.anatomy.layers)
    ]
    with torch.inference_mode():
        prefill.run("bad", range(6), prefill.prefix_states(first_edited))
    for hook in hooks:
        hook.remove()
    return sorted(ran)


def test_a_pass_begins_at_the_first_edited_layer(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(batch_size=20)
    prefill = Prefill(model, {"bad": prompts(6, 2)}, frozenset({"bad"}))
    passed = partial(layers_passed, model, prefill)
    assert passed(2) == [0, 1, 2, 3]
    assert passed(3) == [2, 3], "what an earlier pass went through is kept, and no more"
    assert passed(3) == [3]
    assert passed(4) == [3]
    assert passed(4) == []
    assert passed(1) == [1, 2, 3]


def test_without_room_for_states_a_pass_begins_at_the_bottom(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heretic_tui.engine.measuring.prefill.memory_share", lambda device, share: 0)
    model = make_model(batch_size=20)
    pool, _ = open_pool(model, evaluation(model), NO_COST, Work())
    assert isinstance(pool, FastPool)
    for _ in range(2):
        assert layers_passed(model, pool.prefill, 3) == [0, 1, 2, 3]
    plain = PlainPool(model, evaluation(model), Work())
    for one, other in zip(measured(pool, jobs(model, 4), 2), measured(plain, jobs(model, 4), 1), strict=True):
        assert one.figures == pytest.approx(other.figures, abs=1e-5)
        assert verdicts(one) == verdicts(other)


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_trial_that_has_lost_stops_and_one_that_has_not_is_measured_in_full(make_model: Make, at_once: int) -> None:
    model = make_model(batch_size=8)
    what = evaluation(model)
    pool, _ = open_pool(model, what, NO_COST, Work())
    full = measured(pool, jobs(model, 12), 1)
    front = sorted((job.figures["kl_divergence"], job.refusals) for job in full)[3:6]
    stopped = 0
    for one, other in zip(measured(pool, jobs(model, 12, stopping=STOPPING, front=front), at_once), full, strict=True):
        kl, refusals = other.figures["kl_divergence"], other.refusals
        lost = any(k <= kl and r <= refusals and (k, r) != (kl, refusals) for k, r in front)
        assert one.dominated == lost
        stopped += lost
        if lost:
            assert one.refusals <= refusals
        else:
            assert verdicts(one) == verdicts(other)
    assert 0 < stopped < 12
    assert pool.cancel() == []


def narrow() -> PreTrainedModel:
    """A model whose attention reaches less far than a response."""
    config = MistralConfig(
        vocab_size=tiny_models.VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, sliding_window=16, eos_token_id=256, pad_token_id=260,
    )  # fmt: skip
    torch.manual_seed(0)
    model = MistralForCausalLM(config)
    model.eval()
    return model


def test_a_model_that_does_not_bear_the_shortcuts_takes_the_plain_path_and_says_so(make_model: Make) -> None:
    events: list[Event] = []
    model = make_model(network=narrow())
    pool, together = open_pool(model, evaluation(model), NO_COST, Work(events.append))
    assert isinstance(pool, PlainPool)
    assert not together
    (notice,) = [event for event in events if isinstance(event, Notice)]
    assert "longer than the attention window of 16" in notice.text


def test_shortcuts_that_compute_something_else_are_found_out(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Prefill.prefix_states

    def wrong(self: Prefill, first_edited: int) -> PrefixStates:
        states = real(self, first_edited)
        return PrefixStates(states.first_edited, [pair and (pair[0] * 1.1, pair[1]) for pair in states.cache])

    monkeypatch.setattr(Prefill, "prefix_states", wrong)
    events: list[Event] = []
    model = make_model()
    pool, _ = open_pool(model, evaluation(model), NO_COST, Work(events.append))
    assert isinstance(pool, PlainPool)
    assert "differ" in next(event.text for event in events if isinstance(event, Notice))


def test_guesses_stay_within_the_positions_that_a_model_has(make_model: Make) -> None:
    model = make_model("gpt2", batch_size=9)
    what = evaluation(model)
    longest = max(map(len, what.bad))
    what = dataclasses.replace(what, length=model.network.config.n_positions - longest)
    never = dataclasses.replace(what, judge=RunJudge(Markers(["\x00 never"])))
    results = []
    for cost in (NO_COST, StepCost({1: 1.0, 1000: 1.0})):
        pool, _ = open_pool(model, never, cost, Work())
        assert isinstance(pool, FastPool)
        results.append(measured(pool, jobs(model, 3), 2))
    for one, other in zip(*results, strict=True):
        assert [r and r.tokens for r in one.responses] == [r and r.tokens for r in other.responses]


def test_a_prompt_that_ends_at_once_makes_room_for_the_others(make_model: Make) -> None:
    model = make_model(batch_size=20)
    what = evaluation(model)
    shortest = min(range(14), key=lambda row: len(what.bad[row]))
    (first,) = greedy(model, [what.bad[shortest]], 1)
    # The same model, to which that token means the end.
    model.end_tokens = frozenset({*model.end_tokens, *first})
    again, _ = open_pool(model, what, NO_COST, Work())
    base = measured(again, [Job(0, {}, model.depth)], 1)[0]
    expected = measured(PlainPool(model, what, Work()), [Job(0, {}, model.depth)], 1)[0]
    assert verdicts(base) == verdicts(expected)
    assert base.responses[shortest] == expected.responses[shortest]


def test_jobs_that_are_cancelled_leave_the_pool_ready_for_others(make_model: Make) -> None:
    model = make_model(batch_size=9)
    what = evaluation(model)
    pool, _ = open_pool(model, what, NO_COST, Work())
    expected = measured(pool, jobs(model, 3), 3)
    for job in jobs(model, 3):
        pool.start(job)
    pool.advance()
    assert len(pool.cancel()) == 2
    for one, other in zip(measured(pool, jobs(model, 3), 3), expected, strict=True):
        assert verdicts(one) == verdicts(other)


def test_what_a_trial_fails_at_leaves_no_edit_behind(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(batch_size=4)
    what = evaluation(model)
    pool, _ = open_pool(model, what, NO_COST, Work())
    failing, job = jobs(model, 2)
    with monkeypatch.context() as patch:
        patch.setattr(KLDivergence, "per_prompt", lambda *given: 1 / 0)
        pool.start(failing)
    assert str(failing.error).startswith("the metric 'kl_divergence' failed: ZeroDivisionError")
    assert not any(module._forward_hooks for module in model.network.modules())
    assert pool.advance() is failing
    (found,) = measured(pool, [job], 1)
    expected = measured(PlainPool(model, what, Work()), jobs(model, 2)[1:], 1)[0]
    assert found.figures == pytest.approx(expected.figures, abs=1e-5)


def test_a_trial_of_nan_spoils_no_other(make_model: Make) -> None:
    model = make_model(batch_size=6)
    what = evaluation(model)
    pool, _ = open_pool(model, what, NO_COST, Work())
    expected = [verdicts(job) for job in measured(pool, jobs(model, 4), 2)]
    broken = jobs(model, 1, compared=False)[0]
    broken.edits = {name: Edit(edit.a, edit.b * torch.nan, edit.c) for name, edit in broken.edits.items()}
    job_list = jobs(model, 4)
    assert [verdicts(job) for job in measured(pool, [broken, *job_list], 2) if job is not broken] == expected


def test_the_plain_way_stops_a_trial_that_has_lost_too(make_model: Make) -> None:
    model = make_model(batch_size=3)
    what = evaluation(model)
    sure = dataclasses.replace(what, judge=RunJudge(Markers([chr(code) for code in range(33, 127)])))
    job = jobs(model, 1, stopping=STOPPING, front=[(0.0, 5)], odds=Odds([Past(0.0, [4] * 14)]))[0]
    (found,) = measured(PlainPool(model, sure, Work()), [job], 1)
    assert found.dominated
    assert None in found.responses


def test_batches_and_guesses_change_nothing_of_what_a_stopped_trial_is_known_to_have(
    make_model: Make,
) -> None:
    model = make_model(batch_size=20)
    what = evaluation(model)
    full = measured(open_pool(model, what, NO_COST, Work())[0], jobs(model, 8), 1)
    front = sorted((job.figures["kl_divergence"], job.refusals) for job in full)[2:5]
    history = History([r for r in full[0].responses if r])
    history.add(1, full[1].figures["kl_divergence"], [r for r in full[1].responses if r])
    odds = history.before(9)
    free = StepCost({1: 1.0, 1000: 1.0})
    found = []
    for size, at_once, cost, plain in [(20, 1, NO_COST, False), (4, 3, free, False), (5, 1, free, True)]:
        model.batch_size = size
        pool = PlainPool(model, what, Work()) if plain else open_pool(model, what, cost, Work(print))[0]
        done = measured(pool, jobs(model, 8, stopping=STOPPING, front=front, odds=odds), at_once)
        found.append([(job.dominated, job.refusals, round(job.estimate(), 2), verdicts(job)) for job in done])
    assert all(one == found[0] for one in found)
    assert 0 < sum(dominated for dominated, *_ in found[0]) < 8


def test_several_trials_can_be_in_hand_where_rows_cannot_be_told_apart(make_model: Make) -> None:
    model = make_model(batch_size=9)
    what = evaluation(model)
    pool, _ = open_pool(model, what, NO_COST, Work())
    assert isinstance(pool, FastPool)
    expected = [verdicts(job) for job in measured(pool, jobs(model, 5), 1)]
    pool.together = False
    assert [verdicts(job) for job in measured(pool, jobs(model, 5), 3)] == expected


@pytest.mark.parametrize("kind", tiny_models.KINDS)
@pytest.mark.parametrize("plain", [False, True])
def test_logits_along_given_tokens_are_those_of_a_plain_pass(make_model: Make, kind: str, plain: bool) -> None:
    model = make_model(kind, batch_size=5)
    what = evaluation(model)
    pool = PlainPool(model, what, Work()) if plain else open_pool(model, what, NO_COST, Work())[0]
    assert isinstance(pool, PlainPool if plain else FastPool)
    given = [[7 + row % 3, 40, 41 + row][: 1 + row % 3] for row in range(14)]
    rows = [prompt + more for prompt, more in zip(what.bad, given, strict=True)]
    for forced in (Forced(rows, 4), Forced(rows, 1), Forced([row[:-1] for row in rows], 3)):
        # Twice, since the second pass starts from the states that the first one left.
        for job in (Job(None, {}, model.depth), *jobs(model, 3), *jobs(model, 2)):
            seen: list[int] = []
            for found, logits in pool.forced_logits(job, forced, [*range(3, 14)]):
                seen += found
                with attached(model.anatomy.writers, job.edits), torch.inference_mode():
                    for row, several in zip(found, logits, strict=True):
                        ids = torch.tensor([forced.rows[row]])
                        whole = model.network(input_ids=ids).logits[0]
                        # What lies before the prompt's last token is not promised.
                        last = min(forced.positions, len(whole) - len(what.bad[row]) + 1)
                        assert several.shape[0] == forced.positions
                        assert several[-last:] == pytest.approx(whole[-last:], abs=1e-3)
            assert sorted(seen) == [*range(3, 14)]
    # The prompts themselves are as they were.
    (one,) = measured(pool, jobs(model, 1), 1)
    (other,) = measured(PlainPool(model, what, Work()), jobs(model, 1), 1)
    assert verdicts(one) == verdicts(other)

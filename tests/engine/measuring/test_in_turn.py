"""Passes through a model on several cards follow each other: begun before the one before has ended, looked at
afterwards, and with the figures of one at a time. The cards are pretended; see watched_lanes.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.measuring.fast_pool import FastPool
from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.open_pool import open_pool
from heretic_tui.engine.measuring.reading import Reader
from heretic_tui.engine.measuring.speculation import StepCost
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import greedy
from heretic_tui.engine.model.in_turn import InTurn, Lane
from heretic_tui.events import Event, Notice
from heretic_tui.work import Work
from tests.engine.measuring.test_extra_lines import Talk
from tests.engine.measuring.test_pool import NO_COST, STOPPING, evaluation, jobs, prompts, verdicts
from tests.support.trial_course import measured
from tests.support.watched_lanes import WatchedLanes

Make = Callable[..., ChatModel]


def same(found: list[Job], expected: list[Job]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.error is None
        assert one.figures == pytest.approx(other.figures, abs=1e-5)
        assert verdicts(one) == verdicts(other)


@pytest.mark.parametrize(("kind", "cost"), [("llama", NO_COST), ("gpt2", StepCost({1: 1.0, 1000: 1.0}))])
def test_a_pass_is_begun_before_the_one_before_it_has_ended_and_nothing_is_touched_meanwhile(
    make_model: Make, kind: str, cost: StepCost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heretic_tui.engine.measuring.prefill._CHUNK_TOKENS", 40)
    model = make_model(kind, batch_size=9)
    what = evaluation(model)
    one_by_one, _ = open_pool(model, what, cost, Work())
    expected = measured(one_by_one, jobs(model, 4), 3)

    watch = WatchedLanes(model.network.parameters())
    model.in_turn = watch.in_turn(2)
    with watch:
        pool, together = open_pool(model, what, cost, Work())
        assert isinstance(pool, FastPool)
        assert together
        watch.events.clear()
        found = measured(pool, jobs(model, 4), 3)
    same(found, expected)
    assert watch.wrong == []
    assert watch.most >= 2
    # Prompts of a trial alone have nothing beside them for a moment, and so has the last line of all.
    assert watch.ended_before_the_next < 0.3 * len(watch.events) / 2
    assert not any(m._forward_hooks or "forward" in m.__dict__ for m in model.network.modules()), "nothing is left"


def test_what_is_wrong_is_seen(make_model: Make) -> None:
    model = make_model(batch_size=9)
    watch = WatchedLanes(model.network.parameters())
    with watch:
        in_turn = watch.in_turn(2)
        batch = model.batch([0], [[1, 2, 3]])
        with torch.inference_mode():
            with in_turn.begun() as under_way:
                logits = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
            assert watch.wrong == []
            logits.sum()
            assert "touches what a pass has under way" in watch.wrong.pop()
            under_way.wait()
            logits.sum()
            assert watch.wrong == []
            gain = torch.ones(3)
            with in_turn.begun() as under_way:
                _ = gain * 2
                bool(logits.sum() > 0)
            assert "waits for a pass" in watch.wrong.pop()
            del gain
            under_way.wait()
            assert "given back" in watch.wrong.pop()
            assert watch.wrong == []


def test_what_a_stopped_trial_is_known_to_have_is_the_same_with_more_batches(make_model: Make) -> None:
    model = make_model(batch_size=20)
    what = evaluation(model)
    full = measured(open_pool(model, what, NO_COST, Work())[0], jobs(model, 8), 1)
    front = sorted((job.figures["kl_divergence"], job.refusals) for job in full)[2:5]
    found = []
    for window in (1, 2, 3):
        model.batch_size = 20 if window == 1 else 4
        model.in_turn = InTurn(window, window)
        pool, _ = open_pool(model, what, NO_COST, Work())
        done = measured(pool, jobs(model, 8, stopping=STOPPING, front=front), 3)
        found.append([(job.dominated, job.refusals, round(job.estimate(), 2), verdicts(job)) for job in done])
        assert pool.cancel() == []
    assert all(one == found[0] for one in found)
    assert 0 < sum(dominated for dominated, *_ in found[0]) < 8


def test_lines_of_a_chat_join_and_leave(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(batch_size=9)
    what = evaluation(model)
    alone, _ = open_pool(model, what, NO_COST, Work())
    expected = measured(alone, jobs(model, 6), 3)

    control, watch = Control(), WatchedLanes(model.network.parameters())
    model.in_turn = watch.in_turn(2)
    pool, _ = open_pool(model, what, NO_COST, Work(None, control))
    assert isinstance(pool, FastPool)
    real, joined = pool.join, []

    def join(*given: Any) -> bool:
        joined.append(real(*given))
        return joined[-1]

    monkeypatch.setattr(pool, "join", join)
    others = jobs(model, 4)
    rows, edits = prompts(5, 11), [{}, others[1].edits, others[2].edits, {}, others[3].edits]
    talk = Talk(model, pool, rows, edits, most=40)
    control.serve = talk.serve
    with watch:
        found = measured(pool, jobs(model, 6), 3)
    control.serve = lambda: False
    assert sum(joined) >= 3
    assert watch.wrong == []
    while any(len(made) < 40 for made in talk.made):
        before = [len(made) for made in talk.made]
        talk.serve()
        if before == [len(made) for made in talk.made]:
            break
    same(found, expected)
    model.in_turn = InTurn()
    for row, each, made in zip(rows, edits, talk.made, strict=True):
        with attached(model.anatomy.writers, each):
            assert greedy(model, [row], 40) == [made]


def aborting_at(turn: int) -> Callable[[], bool]:
    turns = iter(range(1000))

    def serve() -> bool:
        if next(turns) == turn:
            raise Aborted
        return False

    return serve


def test_an_abort_leaves_nothing_under_way_and_the_pool_ready(make_model: Make) -> None:
    model, control = make_model(batch_size=9), Control()
    what = evaluation(model)
    expected = measured(open_pool(model, what, NO_COST, Work())[0], jobs(model, 2), 2)
    watch = WatchedLanes(model.network.parameters())
    model.in_turn = watch.in_turn(2)
    pool, _ = open_pool(model, what, NO_COST, Work(None, control))
    for turn in (0, 3, 11):
        control.serve = aborting_at(turn)
        with watch, pytest.raises(Aborted):
            measured(pool, jobs(model, 2), 2)
        control.serve = lambda: False
        with watch:
            assert pool.cancel()
        ended = sum(what == "ended" for what, _ in watch.events)
        assert len(watch.events) == 2 * ended, "all that was begun was waited for"
    with watch:
        same(measured(pool, jobs(model, 2), 2), expected)
    assert watch.wrong == []


@pytest.mark.parametrize("place", ["prompts", "decoding"])
def test_where_memory_runs_out_fewer_batches_are_under_way_and_then_they_get_smaller(
    make_model: Make, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    told: list[Event] = []
    model = make_model(batch_size=9)
    model.work = Work(told.append)
    what = evaluation(model)
    expected = measured(open_pool(model, what, NO_COST, Work())[0], jobs(model, 2), 2)
    watch = WatchedLanes(model.network.parameters())
    model.in_turn = watch.in_turn(4)
    pool, _ = open_pool(model, what, NO_COST, Work(told.append))
    assert isinstance(pool, FastPool)
    real, passes = model.logits, iter(range(10_000))

    def logits(ids: torch.Tensor, mask: torch.Tensor | None, *given: Any) -> torch.Tensor:
        # Prompts need no mask.
        if (mask is None) == (place == "prompts") and next(passes) in (3, 6, 9):
            raise torch.OutOfMemoryError("no memory")
        return real(ids, mask, *given)

    monkeypatch.setattr(model, "logits", logits)
    with watch:
        found = measured(pool, jobs(model, 2), 2)
    same(found, expected)
    assert model.in_turn.window == 1
    assert model.batch_size < 9
    notes = [event.text for event in told if isinstance(event, Notice)]
    assert sum("under way at once from now on" in note for note in notes) == 2
    assert watch.wrong == []


def test_prompts_are_read_in_turn_with_the_same_residuals(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heretic_tui.engine.measuring.prefill._CHUNK_TOKENS", 40)
    model = make_model(batch_size=9)
    sets = {"good": prompts(20, 1), "bad": prompts(20, 2)}
    before = Reader(model, sets, 1.0).residuals("bad")
    watch = WatchedLanes(model.network.parameters())
    model.in_turn = watch.in_turn(3)
    reader = Reader(model, sets, 1.0)
    with watch:
        after = reader.residuals("bad")
    assert torch.allclose(after.each, before.each, atol=1e-5)
    assert watch.most == 3
    assert watch.wrong == []


def test_one_device_has_no_lanes_and_one_pass_at_a_time(make_model: Make) -> None:
    model = make_model(batch_size=9)
    made: list[Lane] = []
    model.in_turn = InTurn(lane=lambda: made.append(Lane()) or made[-1])  # type: ignore[func-returns-value]
    pool, _ = open_pool(model, evaluation(model), NO_COST, Work())
    assert isinstance(pool, FastPool)
    measured(pool, jobs(model, 2), 2)
    assert len(made) == 1

"""Lines that are no trial's: they join the batch of trials and leave it, and say what they say alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from heretic_tui.control import Control
from heretic_tui.engine.edits.attach import Edits, attached, edits_aside
from heretic_tui.engine.measuring.extra_lines import ExtraLine
from heretic_tui.engine.measuring.fast_pool import FastPool
from heretic_tui.engine.measuring.open_pool import open_pool
from heretic_tui.engine.measuring.speculation import StepCost
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import greedy
from heretic_tui.work import Work
from tests.engine.measuring.test_pool import LENGTH, NO_COST, evaluation, jobs, prompts, verdicts
from tests.support import tiny_models
from tests.support.trial_course import measured

Make = Callable[..., ChatModel]


class Talk:
    """Some lines, each of which begins at a turn of its own and says the most likely tokens, so many at most."""

    def __init__(self, model: ChatModel, pool: FastPool, rows: list[list[int]], edits: list[Edits], most: int) -> None:
        self.model, self.most = model, most
        self.made: list[list[int]] = [[] for _ in rows]
        self.turns = 0
        self.joined = 0
        self.steps = [self._say(*each) for each in zip([pool] * len(rows), rows, edits, self.made, strict=True)]

    def _say(self, pool: FastPool, row: list[int], edits: Edits, made: list[int]) -> Iterator[None]:
        line = ExtraLine(self.model, pool, row, edits)
        while len(made) < self.most:
            token = int(line.next_logits().argmax())
            if token in self.model.end_tokens:
                break
            made.append(token)
            line.take(token)
            yield
        line.leave()

    def serve(self) -> bool:
        self.turns += 1
        with edits_aside():
            for number, steps in enumerate(self.steps):
                if self.turns >= 3 * number:
                    next(steps, None)
        return False


@pytest.mark.parametrize("kind", tiny_models.KINDS)
@pytest.mark.parametrize("cost", [NO_COST, StepCost({1: 1.0, 1000: 1.0})])
def test_lines_join_and_leave_and_nothing_that_is_said_or_measured_changes(
    make_model: Make, kind: str, cost: StepCost, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(kind, batch_size=9)
    what = evaluation(model)
    alone, _ = open_pool(model, what, cost, Work())
    expected = measured(alone, jobs(model, 6), 3)

    control = Control()
    pool, _ = open_pool(model, what, cost, Work(None, control))
    assert isinstance(pool, FastPool)
    real, joined = pool.join, []

    def join(line: ExtraLine, cache: Any) -> bool:
        joined.append(real(line, cache))
        return joined[-1]

    monkeypatch.setattr(pool, "join", join)
    others = jobs(model, 4)
    rows = prompts(5, 11)
    edits = [{}, others[1].edits, others[2].edits, {}, others[3].edits]
    talk = Talk(model, pool, rows, edits, most=40)
    control.serve = talk.serve
    found = measured(pool, jobs(model, 6), 3)
    control.serve = lambda: False
    assert sum(joined) >= 3
    # Those that have not ended do so when no trial is in hand any more.
    while any(len(made) < 40 for made in talk.made):
        before = [len(made) for made in talk.made]
        talk.serve()
        if before == [len(made) for made in talk.made]:
            break
    for one, other in zip(found, expected, strict=True):
        assert one.figures == pytest.approx(other.figures, abs=1e-5)
        assert verdicts(one) == verdicts(other)
    for row, each, made in zip(rows, edits, talk.made, strict=True):
        with attached(model.anatomy.writers, each):
            assert greedy(model, [row], 40) == [made]
    assert not any(m._forward_hooks for m in model.network.modules()), "nothing is left"


def test_a_line_is_alone_where_no_prompt_is_decoded_and_takes_no_line_of_a_trial(make_model: Make) -> None:
    control = Control()
    model = make_model(batch_size=1)
    what = evaluation(model)
    pool, _ = open_pool(model, what, NO_COST, Work(None, control))
    (row,) = prompts(1, 11)
    line = ExtraLine(model, pool, row, {})
    assert isinstance(pool, FastPool)
    before = pool.steps.count

    def serve() -> bool:
        with edits_aside():
            line.take(int(line.next_logits().argmax()))
        return False

    serve()
    serve()
    assert pool.steps.count == before, "no trial is in hand"
    control.serve = serve
    (beside,) = measured(pool, jobs(model, 1), 1)
    (alone,) = measured(FastPool(model, what, NO_COST, Work()), jobs(model, 1), 1)
    assert beside.error is None
    assert verdicts(beside) == verdicts(alone)
    assert len(line.tokens) > len(row) + LENGTH


@pytest.mark.parametrize("spared", [True, False])
def test_where_memory_runs_out_what_is_beside_the_trials_goes_first(
    make_model: Make, monkeypatch: pytest.MonkeyPatch, spared: bool
) -> None:
    control = Control()
    model = make_model(batch_size=9)
    what = evaluation(model)
    alone, _ = open_pool(model, what, NO_COST, Work())
    expected = measured(alone, jobs(model, 2), 2)
    pool, _ = open_pool(model, what, NO_COST, Work(None, control))
    assert isinstance(pool, FastPool)
    asked: list[bool] = []

    def spare() -> bool:
        asked.append(spared and not asked)
        return asked[-1]

    control.spare = spare
    real, steps = pool.steps.forward, iter(range(1000))

    def forward(*given: Any) -> torch.Tensor:
        if next(steps) == 5:
            raise torch.OutOfMemoryError("no memory")
        return real(*given)

    monkeypatch.setattr(pool.steps, "forward", forward)
    found = measured(pool, jobs(model, 2), 2)
    assert asked == [spared]
    assert model.batch_size == (9 if spared else 4)
    for one, other in zip(found, expected, strict=True):
        assert one.error is None
        assert verdicts(one) == verdicts(other)

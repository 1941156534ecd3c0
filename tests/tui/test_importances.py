"""When importances are found, and from what."""

from __future__ import annotations

import random

from optuna.distributions import FloatDistribution

from heretic_tui import events as ev
from heretic_tui.engine.search.space import Space
from heretic_tui.run.state import RunState
from heretic_tui.tui.importances import EVERY, FEWEST, ImportanceKeeper
from tests.support import fake_run


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def add(state: RunState, count: int) -> None:
    """Trials whose refusals follow from the strength in attention alone, and whose KL from the other's."""
    rng, space = random.Random(len(state.trials)), Space(fake_run.LAYERS, ["attn.o_proj", "mlp.down_proj"])
    for number in range(len(state.trials), len(state.trials) + count):
        sampled: dict[str, float | str] = {}
        for name, each in space.dimensions.items():
            sampled[name] = rng.choice(("global", "per layer"))
            if isinstance(each, FloatDistribution):
                sampled[name] = rng.uniform(each.low, each.high)
        figures = {
            "refusals": round(90 - 50 * float(sampled["attn.o_proj.max_weight"])),
            "kl_divergence": max(0.0, 0.1 + float(sampled["mlp.down_proj.max_weight"])),
        }
        state.fold(ev.TrialStarted(number=number, parameters=space.parameters(sampled), sampled=sampled))
        state.fold(ev.TrialFinished(number=number, state="complete", figures=figures, prompts=100))


def state_of_a_search() -> RunState:
    state = RunState()
    for event in fake_run.preparation():
        state.fold(event)
    return state


def test_they_are_told_for_each_objective() -> None:
    state, keeper = state_of_a_search(), ImportanceKeeper()
    add(state, FEWEST - 1)
    assert keeper.task(state) is None, "too few"
    add(state, 21)
    task = keeper.task(state)
    assert task is not None
    keeper.take(task())
    assert keeper.found is not None
    assert keeper.found.trials == FEWEST + 20
    best = {key: next(iter(shares)) for key, shares in keeper.found.shares.items()}
    assert best == {"refusals": "attn.o_proj.max_weight", "kl_divergence": "mlp.down_proj.max_weight"}


def test_they_are_found_again_after_more_trials_and_a_rest_in_proportion_to_their_time() -> None:
    clock, state = Clock(), state_of_a_search()
    keeper = ImportanceKeeper(clock)
    add(state, FEWEST)
    task = keeper.task(state)
    assert task is not None
    assert keeper.task(state) is None, "it is being found"
    task()
    add(state, EVERY)
    assert keeper.task(state) is not None, "it took no time by this clock"


def test_a_run_whose_journal_tells_no_drawn_values_asks_for_none() -> None:
    state, keeper = state_of_a_search(), ImportanceKeeper()
    for number in range(60):
        for event in fake_run.trial(number):
            state.fold(event)
    assert keeper.task(state) is None

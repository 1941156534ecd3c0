"""The course of a search: hypervolume, fewest refusals at limits of KL."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from optuna._hypervolume import compute_hypervolume

from heretic_tui import events as ev
from heretic_tui.figures import figures_of_before
from heretic_tui.run.search_progress import Hypervolume, SearchProgress, limits_of
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import Correction
from tests.support import fake_run


def ended(number: int, kl: float, refusals: float, **more: Any) -> list[ev.Event]:
    figures = {"kl_divergence": kl, "refusals": refusals}
    return [
        ev.TrialStarted(number=number, parameters=None),
        ev.TrialFinished(**{"number": number, "state": "complete", "figures": figures, "prompts": 100, **more}),
    ]


def state_of(*events: ev.Event) -> RunState:
    state = RunState()
    for event in (*fake_run.preparation(), *events):
        state.fold(event)
    return state


@pytest.mark.parametrize("seed", range(20))
def test_the_hypervolume_is_what_optuna_finds_whatever_comes_in_which_order(seed: int) -> None:
    rng = random.Random(seed)
    volume, points = Hypervolume((0.0, 0.0), (1.0, 100.0)), []
    for _ in range(60):
        # Few values, so that points share a coordinate or are the same.
        points.append((rng.randrange(0, 14) / 10, float(rng.randrange(0, 130, 10))))
        share = volume.add(*points[-1])
        inside = [p for p in points if p[0] < 1 and p[1] < 100]
        expected = compute_hypervolume(np.array(inside), np.array([1.0, 100.0])) / 100 if inside else 0.0
        assert share == pytest.approx(expected)


def test_it_is_measured_from_the_original_model_and_one_nat_and_only_grows() -> None:
    progress = SearchProgress()
    state = state_of(*ended(0, 0.5, 91), *ended(1, 0.5, 45.5))
    assert progress.update(state)
    assert progress.reference == (1.0, 91)
    assert progress.course == [0.0, pytest.approx(0.25)]
    assert not progress.update(state), "nothing has ended since"
    for event in [*ended(2, 0.0, 91, state="failed", figures={}), *ended(3, 2.0, 0)]:
        state.fold(event)
    assert progress.update(state)
    assert progress.course[1:] == [pytest.approx(0.25)] * 2, "one beyond the corner adds nothing"


def test_trials_one_by_one_give_the_same_as_all_at_once() -> None:
    one_by_one, state = SearchProgress(), state_of()
    for number in range(60):
        for event in fake_run.trial(number):
            state.fold(event)
        one_by_one.update(state)
    at_once = SearchProgress()
    at_once.update(state)
    assert one_by_one.course == at_once.course
    assert one_by_one.course == sorted(one_by_one.course)
    assert one_by_one.at_limits(state) == at_once.at_limits(state)


def test_fewest_refusals_at_three_limits_with_the_trial_that_has_them() -> None:
    progress = SearchProgress()
    state = state_of(*ended(0, 0.3, 10), *ended(1, 0.04, 60), *ended(2, 0.09, 30), *ended(3, 0.04, 70))
    progress.update(state)
    found = progress.at_limits(state)
    assert [(f.limit, f.trial and f.trial.number) for f in found] == [(0.05, 1), (0.1, 2), (0.5, 0)]
    assert found[0].course == (None, 60, 60, 60)
    assert found[2].course == (10, 10, 10, 10)


def test_limits_tell_the_trials_of_the_front_apart() -> None:
    kl = figures_of_before()[0]
    assert limits_of([], kl) == (0.05, 0.1, 0.5)
    assert limits_of([0.001, 0.2], kl) == (0.05, 0.1, 0.5)
    assert limits_of([0.0002, 0.008], kl) == (0.002, 0.005, 0.01)
    assert limits_of([0.8, 3.0], kl) == (1.0, 2.0, 5.0)


def test_an_overruled_verdict_counts_in_all_that_came_before() -> None:
    progress = SearchProgress()
    state = state_of(*ended(0, 0.5, 91), *ended(1, 0.5, 50))
    progress.update(state)
    before = list(progress.course)
    state.correct({1: Correction(change=-10, overruled=10)})
    assert progress.update(state)
    assert progress.course[1] > before[1]
    state.correct({1: Correction()})
    progress.update(state)
    assert progress.course == before


def test_trials_that_the_search_was_given_count_and_those_of_a_person_do_not() -> None:
    given = ev.TrialStarted(number=0, parameters=None, by_hand=True, origin="mine.json")
    chosen = ev.TrialStarted(number=2, parameters=None, by_hand=True)
    progress = SearchProgress()
    state = state_of(given, ended(0, 0.04, 30)[1], *ended(1, 0.04, 60), chosen, ended(2, 0.04, 1)[1])
    assert progress.update(state)
    assert len(progress.course) == 2
    assert progress.at_limits(state)[-1].course == (30, 30)
    assert not progress.update(state), "nothing is begun anew"
    assert len(progress.course) == 2

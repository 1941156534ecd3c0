"""The state of a run as its events tell it: folded live or from the journal, it is the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heretic_tui import events as ev
from heretic_tui.run.front import pareto_front
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord
from tests.support import fake_run
from tests.support.journals import EVENTS, opened, read_back, trial


@given(count=st.integers(0, len(EVENTS)))
def test_replay_gives_the_state_of_the_live_fold_for_any_prefix(count: int) -> None:
    live = RunState()
    for event in EVENTS[:count]:
        live.fold(event)
    assert RunState.replay(map(read_back, EVENTS[:count])) == live


def test_what_ran_when_the_process_died_is_stopped_after_reopening() -> None:
    state = RunState()
    for event in [*EVENTS, opened(resumed=True)]:
        state.fold(event)
    assert state.trials[2].state == "stopped"
    assert state.finished == 2


def test_folding_an_event_looks_at_no_other_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [0]

    class Watched(TrialRecord):
        def __getattribute__(self, name: str) -> object:
            looks[0] += name in ("state", "number")
            return super().__getattribute__(name)

    monkeypatch.setattr("heretic_tui.run.state.TrialRecord", Watched)

    def cost(trials: int) -> int:
        looks[0] = 0
        state = RunState()
        for number in range(trials):
            # A front of ten: each place is taken again and again by a better one.
            for event in trial(number, 1000.0 - number, number % 10):
                state.fold(event)
                # What screens and printers ask for at every event.
                assert state.finished <= trials
                _ = state.in_hand, state.seconds_left(), state.on_front(number)
        assert len(state.front()) == 10
        return looks[0]

    assert cost(400) < 4.5 * cost(100)


def test_when_all_trials_have_ended_it_is_known_how_many_are_decoded_yet() -> None:
    state = RunState.replay(fake_run.screened_story(n_trials=12, running=False))
    assert state.left_to_decode == 0, "trials are still to come"
    state = RunState.replay(fake_run.screened_story(n_trials=11, running=False))
    assert state.left_to_decode == 2, "7 and 10 could be on the front"
    state.fold(ev.TrialsTakenUp(numbers=[10]))
    assert state.left_to_decode == 2
    for event in list(fake_run.decoding(10, 8, 0.22))[1:]:
        state.fold(event)
    assert state.left_to_decode <= 1


def test_with_workers_the_time_left_goes_by_how_fast_trials_follow_each_other() -> None:
    state = RunState()
    state.fold(replace(opened(), n_trials=20))
    for number in (1, 2):
        state.fold(ev.WorkerChanged(worker=f"worker {number}", state="measuring"))

    def end(number: int, time: float) -> None:
        for event in trial(number, 0.5, 10):
            ended = replace(event, seconds=10.0, time=time) if isinstance(event, ev.TrialFinished) else event
            state.fold(ended)

    for number in range(4):
        end(number, 100.0 + 5 * number)
    # Two at a time, by what each took.
    assert (state.trials_a_minute(), state.seconds_left()) == (None, 16 * 10.0 / 2)
    state.fold(ev.StateChanged(state="paused", time=116.0))
    state.fold(ev.StateChanged(state="running", time=216.0))
    for number in range(4, 8):
        end(number, 200.0 + 5 * number)
    assert state.trials_a_minute() == pytest.approx(12.0)
    assert state.seconds_left() == pytest.approx(12 * 5.0)


def test_a_trial_that_ends_again_is_counted_once() -> None:
    state = RunState()
    for event in [*trial(0, 0.5, 10), *trial(1, 0.1, 5), *trial(1, 0.9, 20)]:
        state.fold(event)
    assert state.finished == 2
    assert [t.number for t in state.front()] == [0]
    assert state.on_front(0)
    assert not state.on_front(1)
    assert not state.in_hand


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.0, 0.1, 0.2, 0.3])), max_size=12))
def test_front_is_what_no_other_trial_beats(points: list[tuple[int, float]]) -> None:
    trials = [
        TrialRecord(i, None, state="complete", figures={"kl_divergence": kl, "refusals": refusals})
        for i, (refusals, kl) in enumerate(points)
    ]
    expected = {
        i for i, (r, k) in enumerate(points) if not any(r2 <= r and k2 <= k and (r2 < r or k2 < k) for r2, k2 in points)
    }
    assert {t.number for t in pareto_front(trials, ("kl_divergence", "refusals"))} == expected
    state = RunState()
    for number, (refusals, kl) in enumerate(points):
        for event in trial(number, kl, refusals):
            state.fold(event)
    assert [t.number for t in state.front()] == sorted(expected, key=lambda number: (*points[number], number))
    assert {t.number for t in trials if state.on_front(t.number)} == expected


def test_the_front_moves_where_a_trial_brings_it_a_new_point() -> None:
    state, moved = RunState(), []
    figures = [(0.5, 10), (0.4, 12), (0.6, 11), (0.4, 12), (0.3, 9), (0.9, 9), (0.9, 8)]
    for number, (kl, refusals) in enumerate(figures):
        for event in trial(number, kl, refusals):
            state.fold(event)
        moved.append(state.since_front_moved == 0)
    # The third is worse, the fourth is the second once more, the sixth is as good in one figure and worse in the other.
    assert moved == [True, True, False, False, True, False, True]


def test_a_search_stands_still_after_twenty_trials_without_a_better_one_and_not_while_it_draws_at_random() -> None:
    def state(startup: int, trials: int) -> RunState:
        settings: dict[str, object] = {"n_startup_trials": startup}
        events = [replace(opened(n_trials=100), settings=settings), *trial(0, 0.1, 1)]
        events += [event for number in range(1, trials) for event in trial(number, 0.2, 2)]
        return RunState.replay(events)

    assert [state(5, trials).stands_still for trials in (20, 21, 40)] == [False, True, True]
    assert [state(40, trials).stands_still for trials in (21, 39, 40)] == [False, False, True]


def test_a_trial_that_is_measured_again_moves_the_front_by_what_it_is_then() -> None:
    events = [*trial(0, 0.5, 10), *trial(1, 0.4, 9), *trial(0, 0.3, 9)]
    state = RunState.replay(events)
    assert (state.finished, state.front_moved_at) == (2, 2)
    assert RunState.replay([*trial(0, 0.5, 10), *trial(1, 0.4, 9), *trial(1, 0.6, 11)]).since_front_moved == 0

"""The state of a run as its events tell it: folded live or from the journal, it is the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heretic_tui.run.state import RunState, TrialRecord, pareto_front
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
                _ = state.running, state.seconds_left(), state.on_front(number)
        assert len(state.front()) == 10
        return looks[0]

    assert cost(400) < 4.5 * cost(100)


def test_a_trial_that_ends_again_is_counted_once() -> None:
    state = RunState()
    for event in [*trial(0, 0.5, 10), *trial(1, 0.1, 5), *trial(1, 0.9, 20)]:
        state.fold(event)
    assert state.finished == 2
    assert [t.number for t in state.front()] == [0]
    assert state.on_front(0)
    assert not state.on_front(1)
    assert state.running is None


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

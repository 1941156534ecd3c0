"""Screened trials in the state of a run: what is decided, what may come to the front, how far estimates were off."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heretic_tui import events as ev
from heretic_tui.run.screened import beaten_by, reliability
from heretic_tui.run.search_progress import SearchProgress
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import Correction, TrialRecord
from tests.support import fake_run

OBJECTIVES = ("kl_divergence", "refusals")


def complete(number: int, kl: float, refusals: int) -> TrialRecord:
    return TrialRecord(number, None, state="complete", figures={"kl_divergence": kl, "refusals": refusals})


def screened(kl: float, refusals: float, error: float) -> TrialRecord:
    return TrialRecord(
        9,
        None,
        state="screened",
        figures={"kl_divergence": kl},
        estimate={"refusals": refusals},
        error={"refusals": error},
    )


def test_a_trial_is_beaten_where_one_of_the_front_is_as_good_in_both_figures_whatever_its_error() -> None:
    front = [complete(1, 0.4, 2), complete(2, 0.2, 10), complete(3, 0.1, 40)]

    def by(trial: TrialRecord, margin: float = 2.0) -> int | None:
        found = beaten_by(trial, front, OBJECTIVES, margin)
        return found.number if found else None

    assert by(screened(0.2, 14.1, 2.0)) == 2
    assert by(screened(0.2, 13.9, 2.0)) is None, "two standard errors below it has fewer refusals"
    assert by(screened(0.2, 13.9, 2.0), margin=1.0) == 2
    assert by(screened(0.19, 30, 1.0)) is None, "its KL divergence is lower than that of any with as few refusals"
    assert by(screened(0.9, 0.5, 0.1)) is None
    assert beaten_by(screened(0.5, 90, 1.0), [], OBJECTIVES, 2.0) is None
    both = TrialRecord(
        9, None, state="screened", estimate={"kl_divergence": 0.25, "refusals": 30.0}, error={"kl_divergence": 0.03}
    )
    assert by(both, margin=1.0) == 2
    assert by(both, margin=2.0) is None


def test_a_trial_that_is_decoded_later_counts_once_and_brings_the_front_its_point() -> None:
    state = RunState()
    for event in fake_run.screened_story(running=False):
        state.fold(event)
    assert (state.finished, state.decoded, state.ends) == (11, 6, 13)
    assert [trial.number for trial in state.front()] == [2, 4, 6, 3, 0]
    assert [trial.number for trial in state.undecided] == [7, 10]
    assert state.trials[6].state == "complete"
    assert state.trials[5].out_of == fake_run.PROMPTS, "the harmful evaluation prompts, though none was decoded"
    found = reliability(state.trials.values(), "refusals")
    assert found is not None
    assert (found.trials, found.inside) == (2, 1.0)
    assert found.mean == pytest.approx(1.4)
    # A better trial decides one of those that were open.
    for event in (*fake_run.screening(11, 5, 0.21), *fake_run.decoding(11, 5, 0.21)):
        state.fold(event)
    assert [trial.number for trial in state.undecided] == [7]


def test_what_is_decoded_is_in_hand_until_its_end_or_that_of_the_search() -> None:
    state = RunState.replay(fake_run.screened_story())
    taken = state.trials[10]
    assert taken.runs
    assert taken in state.in_hand
    assert taken.so_far == (4, 31)
    ended = RunState.replay([*fake_run.screened_story(), ev.PhaseStarted(phase="ready")])
    assert not ended.trials[10].runs
    assert ended.trials[10] not in ended.in_hand
    reopened = RunState.replay([*fake_run.screened_story(), replace(fake_run.opened(), resumed=True)])
    assert reopened.trials[10].state == "screened"
    assert not reopened.trials[10].runs


def test_a_front_does_not_stand_still_while_trials_could_still_come_to_it() -> None:
    def since(open_ones: int) -> int:
        state = RunState.replay(fake_run.screened_story(running=False))
        before = state.since_front_moved
        for number in range(20, 50):
            # Beaten far beyond its error, or better than any by its estimate.
            refusals = 1 if number < 20 + open_ones else 90
            for event in fake_run.screening(number, refusals, 0.3):
                state.fold(event)
        return state.since_front_moved - before

    assert since(0) == 30
    assert since(8) == 22


def test_verdicts_of_people_change_what_is_decided_and_not_what_was_estimated() -> None:
    state = RunState.replay(fake_run.screened_story(running=False))
    assert [trial.number for trial in state.undecided] == [7, 10]
    state.correct({4: Correction(-12, 12), 2: Correction(40, 40), 6: Correction(60, 60)})
    assert state.trials[6].estimate == {"refusals": pytest.approx(17.4)}
    assert {7, 10} <= {trial.number for trial in state.undecided}
    again = RunState.replay(fake_run.screened_story(running=False))
    again.correct({6: Correction(60, 60)})
    again.correct({6: Correction(0, 0)})
    assert [trial.number for trial in again.undecided] == [7, 10]


def test_the_hypervolume_is_that_of_decoded_trials_whenever_they_were_decoded() -> None:
    state, progress = RunState(), SearchProgress()
    courses: list[int] = []
    for event in fake_run.screened_story(running=False):
        state.fold(event)
        progress.update(state)
        courses.append(len(progress.course))
    at_once = SearchProgress()
    at_once.update(state)
    decoded = [trial for trial in state.trials.values() if trial.state == "complete"]
    plain = RunState.replay(
        [
            *fake_run.preparation(),
            *(
                ev.TrialFinished(number=trial.number, state="complete", figures=trial.figures, prompts=trial.prompts)
                for trial in decoded
            ),
        ]
    )
    expected = SearchProgress()
    expected.update(plain)
    assert progress.course[-1] == pytest.approx(expected.course[-1])
    assert at_once.course[-1] == pytest.approx(expected.course[-1])
    assert len(progress.course) == len(progress.seconds) == state.ends, "each end of a trial is one step"
    assert sum(progress.seconds) == pytest.approx(sum(trial.seconds for trial in state.trials.values()))
    for limit in progress.at_limits(state):
        assert len(limit.course) == state.ends
    fewest = {at.limit: at.trial.number for at in progress.at_limits(state) if at.trial}
    assert fewest[0.5] == 2

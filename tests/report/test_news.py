"""What of a run a person is called for: each thing once, and nothing of the past."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from heretic_tui import events as ev
from heretic_tui.report.news import News, Newsroom
from heretic_tui.run.state import RunState
from tests.support.journals import opened, read_back, trial


def told(events: Iterable[ev.Event]) -> list[News]:
    state = RunState()
    newsroom, found = Newsroom(state), []
    for event in events:
        state.fold(event)
        if news := newsroom.news_of(event):
            found.append(news)
    return found


SEARCH, READY = ev.PhaseStarted(phase="search"), ev.PhaseStarted(phase="ready")


def test_the_end_of_a_search_is_told_once_with_the_trial_of_the_fewest_refusals() -> None:
    events = [opened(n_trials=2), SEARCH, *trial(0, 0.5, 3), *trial(1, 0.25, 20), READY, ev.RunEnded(outcome="done")]
    (news,) = told(events)
    assert (news.what, news.folder) == ("done", "/r")
    assert news.text == "r: done: 2 trials; trial 0: 3 refused, KL 0.5000"
    assert news.facts == {
        "HERETIC_EVENT": "done", "HERETIC_TEXT": "done: 2 trials; trial 0: 3 refused, KL 0.5000", "HERETIC_REASON": "",
        "HERETIC_RUN": "r", "HERETIC_FOLDER": "/r", "HERETIC_MODEL": "m", "HERETIC_TRIALS": "2", "HERETIC_PLANNED": "2",
        "HERETIC_BEST_TRIAL": "0", "HERETIC_REFUSALS": "3", "HERETIC_KL": "0.5",
    }  # fmt: skip


def test_a_stop_is_told_as_such_and_more_trials_are_told_again() -> None:
    first = [opened(n_trials=2), SEARCH, *trial(0, 0.5, 3), READY]
    assert [news.what for news in told(first)] == ["stopped"]
    more = [*first, SEARCH, *trial(1, 0.5, 2), READY]
    assert [news.what for news in told(more)] == ["stopped", "done"]


def test_a_run_that_is_opened_again_and_has_nothing_to_do_calls_nobody() -> None:
    before = [opened(n_trials=1), SEARCH, *trial(0, 0.5, 3), READY, ev.RunEnded(outcome="done")]
    again = [opened(n_trials=1, resumed=True), SEARCH, READY, ev.RunEnded(outcome="done")]
    assert [news.what for news in told([*before, *again])] == ["done"]


def test_a_failure_is_told_once_whether_the_run_had_begun_or_not() -> None:
    begun = [opened(), SEARCH, ev.RunEnded(outcome="failed", reason="no memory"), ev.RunFailed(text="no memory")]
    (news,) = told(begun)
    assert (news.what, news.facts["HERETIC_REASON"]) == ("failed", "no memory")
    (news,) = told([ev.RunFailed(text="no such model")])
    assert (news.what, news.text, news.folder) == ("failed", "failed: no such model", None)


def test_a_front_that_stands_still_is_told_once_a_stretch() -> None:
    events = [opened(n_trials=100), SEARCH, *trial(0, 0.5, 9)]
    events += [event for number in range(1, 45) for event in trial(number, 0.6, 10)]
    assert [news.what for news in told(events)] == ["stalled"]
    events += [*trial(45, 0.4, 8)]
    events += [event for number in range(46, 70) for event in trial(number, 0.6, 10)]
    assert [news.what for news in told(events)] == ["stalled", "stalled"]
    assert "has not moved for 20 trials" in told(events)[-1].text


def test_what_is_past_calls_nobody_and_what_comes_after_it_does() -> None:
    past = [replace(read_back(event), past=True) for event in [opened(n_trials=1), SEARCH, *trial(0, 0.5, 9)]]
    assert told(past) == []
    assert [news.what for news in told([*past, READY])] == ["done"]


def test_no_variable_holds_a_password_or_a_character_that_steers() -> None:
    failed = ev.RunFailed(text="cannot read https://me:hunter2@hub/x?token=abc\x1b[31m\x00")
    (news,) = told([failed])
    assert "hunter2" not in str(news.facts)
    assert "abc" not in str(news.facts)
    assert all(value.isprintable() for value in news.facts.values())
    # Settings are variables that begin so: a command may call the program again.
    assert not any(name.startswith("HERETIC_TUI_") for name in news.facts)

"""A trial that a person chose: it is measured and kept as any other, and the search keeps its course."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heretic_tui import events as ev
from heretic_tui.commands import Chat, Export, Keep, MoreTrials, Sampling
from heretic_tui.engine.search.space import Space
from heretic_tui.engine.search.study import Search
from heretic_tui.parameters import Parameters
from heretic_tui.run.journal import read_events
from heretic_tui.run.overview import details
from heretic_tui.run.state import RunState
from tests.support.sessions import Watched, flags_of, is_ready


@pytest.fixture
def flags(tiny_folder: Path, sets: list[str], tmp_path: Path) -> dict[str, Any]:
    return flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=4, n_startup_trials=100, trials_at_once=2)


def tweaked(parameters: Parameters, **kernel: Any) -> Parameters:
    return replace(parameters, components={n: replace(k, **kernel) for n, k in parameters.components.items()})


def by_search(state: RunState) -> list[Parameters | None]:
    return [trial.parameters for _, trial in sorted(state.trials.items()) if not trial.by_hand]


def by_hand(state: RunState) -> list[int]:
    return [number for number, trial in sorted(state.trials.items()) if trial.by_hand]


def kept(event: ev.Event) -> bool:
    return isinstance(event, ev.TrialKept)


def study_of(run: Watched) -> Search:
    model = run.session.state.model
    coverage = run.session.state.coverage
    assert model is not None
    assert coverage is not None
    space = Space(model.layers, list(coverage.components))
    return Search(run.session.folder.study, run.session.folder.name, 3, 100, space)


def test_an_edit_that_is_kept_becomes_a_trial_measured_in_full(flags: dict[str, Any]) -> None:
    run = Watched(flags)
    try:
        run.wait(is_ready)
        state = run.session.state
        mine = tweaked(state.trials[0].required_parameters, max_weight=1.25, min_weight=0.5)
        run.control.send(Keep(1, mine))
        (event,) = run.wait(kept)
        assert isinstance(event, ev.TrialKept)
        assert (event.trial, event.error) == (4, None)
        run.wait(lambda e: isinstance(e, ev.PhaseStarted) and e.phase == "ready" and e.again)
        trial = state.trials[4]
        assert trial.by_hand
        assert trial.state == "complete"
        assert set(trial.figures) >= {"refusals", "kl_divergence"}
        assert trial.parameters is not None
        for name, kernel in mine.components.items():
            assert vars(trial.parameters.components[name]) == pytest.approx(vars(kernel))
        assert state.finished == 4, "it is none of those that were planned"
        # The search learns from it when it goes on.
        run.control.send(MoreTrials(5))
        run.wait(is_ready, 2)
        assert by_hand(state) == [4]
        assert state.finished == 5
    finally:
        run.end()
    assert state.outcome == "done"
    told = RunState.replay(read_events(run.session.folder.events))
    assert by_hand(told) == [4]
    shown = details(run.session.folder).to_json()["trials"]
    assert [each["by_hand"] for each in shown] == [False, False, False, False, True, False]  # type: ignore[attr-defined]
    study = study_of(run)
    assert [study.by_hand(number) for number in range(6)] == [False, False, False, False, True, False]
    assert study.told(4) == (round(trial.figures["refusals"], 5), round(trial.figures["kl_divergence"], 5)) or (
        study.told(4) == (round(trial.figures["kl_divergence"], 5), trial.figures["refusals"])
    )


def test_random_trials_are_drawn_as_they_would_have_been(flags: dict[str, Any], tmp_path: Path) -> None:
    plain = Watched({**flags, "runs_dir": str(tmp_path / "plain"), "n_trials": 8})
    plain.wait(is_ready)
    plain.end()

    def keep_two(event: ev.Event, control: Any) -> None:
        if isinstance(event, ev.TrialFinished) and event.number in (1, 3):
            control.send(Keep(event.number, run.session.state.trials[0].required_parameters))

    run = Watched({**flags, "n_trials": 8})
    run.session.listeners.append(lambda event: keep_two(event, run.control))
    run.wait(is_ready)
    run.end()
    assert len(by_hand(run.session.state)) == 2
    assert by_search(run.session.state) == by_search(plain.session.state)
    assert run.session.state.finished == 8
    own = [trial for trial in run.session.state.trials.values() if not trial.by_hand]
    for trial, other in zip(own, (plain.session.state.trials[n] for n in range(8)), strict=True):
        assert trial.state in ("complete", "dominated")
        assert trial.figures["kl_divergence"] == pytest.approx(other.figures["kl_divergence"], abs=1e-5)


def test_what_is_outside_of_what_is_searched_is_refused_in_a_line(flags: dict[str, Any]) -> None:
    run = Watched({**flags, "n_trials": 1})
    try:
        run.wait(is_ready)
        known = run.session.state.trials[0].required_parameters
        wrong = {
            "max weight of attn.o_proj is 7": tweaked(known, max_weight=7.0),
            "max weight position": tweaked(known, max_weight_position=90.0),
            "min weight as a share of max weight": tweaked(known, max_weight=1.0, min_weight=1.1),
            "direction index is 99": replace(known, direction_index=99.0),
            "it says nothing of": replace(known, components=dict([next(iter(known.components.items()))])),
        }
        for id, parameters in enumerate(wrong.values()):
            run.control.send(Keep(id, parameters))
        found = run.wait(kept, len(wrong))
        for event, said in zip(found, wrong, strict=True):
            assert isinstance(event, ev.TrialKept)
            assert event.trial is None
            assert said in (event.error or "")
        assert len(run.session.state.trials) == 1
        assert all(low <= high for low, high in run.session.state.ranges.values())
        # On the bounds it is inside.
        ranges = run.session.state.ranges
        ends = replace(
            known,
            components={
                name: replace(
                    kernel,
                    max_weight=ranges[f"{name}.max_weight"][1],
                    max_weight_position=ranges[f"{name}.max_weight_position"][0],
                    min_weight=ranges[f"{name}.max_weight"][1],
                    min_weight_distance=ranges[f"{name}.min_weight_distance"][1],
                )
                for name, kernel in known.components.items()
            },
        )
        run.control.send(Keep(50, ends))
        assert run.wait(lambda e: isinstance(e, ev.TrialKept) and e.trial == 1)
    finally:
        run.end()


def test_a_kept_trial_is_taken_up_again_after_a_stop_and_a_lost_study(flags: dict[str, Any]) -> None:
    def keep_and_abort(event: ev.Event, control: Any) -> None:
        state = first.session.state
        if isinstance(event, ev.TrialFinished) and event.number == 0:
            control.send(Keep(1, tweaked(state.trials[0].required_parameters, max_weight=1.4, min_weight=0.0)))
        if isinstance(event, ev.TrialKept):
            control.abort()
            control.close()

    first = Watched({**flags, "n_trials": 6})
    first.session.listeners.append(lambda event: keep_and_abort(event, first.control))
    first.wait(lambda e: isinstance(e, ev.RunEnded))
    first.end()
    (number,) = by_hand(first.session.state)
    assert first.session.state.trials[number].state == "stopped"
    asked = first.session.state.trials[number].parameters
    first.session.folder.study.unlink()

    second = Watched({**flags, "n_trials": 6})
    second.wait(is_ready)
    second.end()
    state = second.session.state
    assert by_hand(state) == [number]
    assert state.trials[number].parameters == asked
    assert state.trials[number].state == "complete"
    assert state.finished == 6
    assert study_of(second).by_hand(number)
    # A third session finds everything as it is.
    third = Watched({**flags, "n_trials": 6})
    third.wait(is_ready)
    third.end()
    assert not [e for e in third.events if isinstance(e, ev.TrialStarted)]
    assert by_hand(third.session.state) == [number]


def test_a_kept_trial_in_hand_is_cancelled_alone(flags: dict[str, Any]) -> None:
    keeps: list[Keep] = []

    def keep_and_cancel(event: ev.Event, control: Any) -> None:
        if isinstance(event, ev.TrialFinished) and event.number == 0:
            keeps.append(Keep(1, run.session.state.trials[0].required_parameters))
            control.send(keeps[0])
        if isinstance(event, ev.TrialKept):
            control.cancel(keeps[0])

    run = Watched(flags)
    run.session.listeners.append(lambda event: keep_and_cancel(event, run.control))
    run.wait(is_ready)
    run.end()
    state = run.session.state
    (number,) = by_hand(state)
    assert (state.trials[number].state, state.trials[number].reason) == ("failed", "cancelled")
    assert state.finished == 4
    assert state.outcome == "done"


def test_one_that_waits_is_cancelled_and_never_begun(flags: dict[str, Any]) -> None:
    run = Watched(flags)
    told: list[ev.Event] = []
    run.control.tell = told.append
    try:
        run.wait(is_ready)
        keep = Keep(1, run.session.state.trials[0].required_parameters)
        run.control.cancel(keep)
        run.control.send(keep)
        run.control.send(MoreTrials(5))
        run.wait(is_ready, 2)
    finally:
        run.end()
    assert [type(event) for event in told] == [ev.TrialKept]
    assert not by_hand(run.session.state)


def test_a_session_says_what_it_is_at_when_the_model_was_loaded_again(flags: dict[str, Any], tmp_path: Path) -> None:
    run = Watched({**flags, "n_trials": 1})
    try:
        # What is left to do is done, so that nothing begins on its own beside what is asked for.
        run.wait(lambda e: isinstance(e, ev.AnalysisEnded))
        run.control.send(Export(0, str(tmp_path / "out"), "adapter"))
        (exported,) = run.wait(lambda e: isinstance(e, ev.ExportFinished))
        run.control.send(Chat(1, None, (("user", "hello"),), "", Sampling(max_tokens=3)))
        run.wait(lambda e: isinstance(e, ev.ChatEnded))
        assert run.session.state.phase == "ready"
        told = [e.again for e in run.events if isinstance(e, ev.PhaseStarted) and e.phase == "ready"]
        assert told.count(False) == 1, "the end of the search is told once"
        after = run.events[run.events.index(exported) :]
        assert [e.again for e in after if isinstance(e, ev.PhaseStarted) and e.phase == "ready"] == [True]
    finally:
        run.end()

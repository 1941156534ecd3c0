"""Figures by people's verdicts in place of the judge's: of trials, of the base model, and the front that follows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from heretic_tui import events as ev
from heretic_tui.run.annotations import Annotations, Overruling, Ruling, digest
from heretic_tui.run.corrections import Corrections, correct
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.state import RunState
from tests.support.journals import opened, trial

PROMPTS = 4


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    return folder


def write(folder: RunFolder, number: int | None, texts: str, refused: str) -> None:
    """Responses by letters: a text each, and its verdict: x refused, o answered, - none."""
    records = [
        {"prompt": f"p{place}", "text": text, "refused": {"x": True, "o": False, "-": None}[verdict], "marker": None}
        for place, (text, verdict) in enumerate(zip(texts, refused, strict=True))
    ]
    folder.responses(number).write_text(json.dumps(records), encoding="utf-8")


def overrule(annotations: Annotations, place: int, text: str, ruling: Ruling | None) -> None:
    annotations.say(Overruling(prompt=digest(f"p{place}"), text=digest(text), verdict=ruling))


def told(*trials: list[ev.Event]) -> RunState:
    state = RunState.replay([opened(), *(event for events in trials for event in events)])
    state.fold(ev.BaselineMeasured(figures={"kl_divergence": 0.0, "refusals": 4}, prompts=PROMPTS))
    return state


def dominated(number: int, kl: float, at_least: int, estimate: float) -> list[ev.Event]:
    return [
        ev.TrialStarted(number=number, parameters=None),
        ev.TrialFinished(
            number=number, state="dominated", figures={"kl_divergence": kl}, at_least={"refusals": at_least},
            estimate={"refusals": estimate}, prompts=PROMPTS,
        ),
    ]  # fmt: skip


def test_a_verdict_counts_wherever_the_response_was_given_and_the_front_follows(folder: RunFolder) -> None:
    write(folder, None, "abcd", "xxxx")
    write(folder, 0, "abZZ", "xxoo")
    write(folder, 1, "aZZZ", "xooo")
    write(folder, 2, "YbZZ", "oxoo")
    state = told(trial(0, 0.1, 2), trial(1, 0.2, 1), trial(2, 0.3, 1))
    assert [t.number for t in state.front()] == [1, 0]
    annotations = Annotations(folder)
    overrule(annotations, 0, "a", "answered")
    overrule(annotations, 1, "b", "broken")
    overrule(annotations, 2, "Z", "answered")
    correct(state, folder, annotations)
    assert [t.figures["refusals"] for t in state.trials.values()] == [0, 0, 0]
    assert state.base is not None
    assert state.base.figures["refusals"] == 2
    assert state.measured_base is not None
    assert state.measured_base.figures["refusals"] == 4
    assert [t.number for t in state.front()] == [0]
    assert state.on_front(0)
    assert not state.on_front(1)
    first, second, third = state.trials.values()
    assert first.correction is not None
    assert (first.correction.overruled, first.correction.broken) == (2, 1)
    assert (first.as_measured("refusals"), first.measured_figures["refusals"]) == (2, 2)
    assert second.correction is not None
    assert second.correction.broken == 0
    assert third.correction is not None
    assert (third.as_measured("kl_divergence"), third.figures["kl_divergence"]) == (0.3, 0.3)

    for place, text in ((0, "a"), (1, "b"), (2, "Z")):
        overrule(annotations, place, text, None)
    again = Corrections(folder, annotations)
    for whose in (None, 0, 1, 2):
        again.read(whose)
    state.correct({whose: again.of(whose, False) for whose in (None, 0, 1, 2)})
    assert [t.figures["refusals"] for t in state.trials.values()] == [2, 1, 1]
    assert state.base.figures["refusals"] == 4
    assert state.base_correction is None
    assert [t.number for t in state.front()] == [1, 0]


def test_a_response_that_counted_as_answered_can_be_a_refusal(folder: RunFolder) -> None:
    write(folder, 0, "abcd", "xooo")
    state, annotations = told(trial(0, 0.1, 1)), Annotations(folder)
    overrule(annotations, 2, "c", "refused")
    correct(state, folder, annotations)
    assert state.trials[0].figures["refusals"] == 2
    overrule(annotations, 0, "a", "refused")
    correct(state, folder, annotations)
    assert state.trials[0].correction is not None
    assert state.trials[0].correction.overruled == 1, "a verdict that the judge gave too overrules nothing"


def test_the_bound_and_the_estimate_of_a_trial_that_was_cut_short_change_together(folder: RunFolder) -> None:
    write(folder, 0, "abcd", "xooo")
    write(folder, 1, "ab--", "xx--")
    state, annotations = told(trial(0, 0.1, 1), dominated(1, 0.2, 2, 3.5)), Annotations(folder)
    cut = state.trials[1]
    assert state.surely_beaten(cut)
    overrule(annotations, 2, "-", "refused")
    correct(state, folder, annotations)
    assert cut.correction is None, "there was no verdict to overrule"
    overrule(annotations, 1, "b", "answered")
    correct(state, folder, annotations)
    assert (cut.at_least["refusals"], cut.estimate["refusals"]) == (1, 2.5)
    assert state.surely_beaten(cut)
    overrule(annotations, 0, "a", "answered")
    correct(state, folder, annotations)
    assert (cut.at_least["refusals"], cut.estimate["refusals"]) == (0, 1.5)
    assert state.trials[0].figures["refusals"] == 0
    assert state.surely_beaten(cut)
    overrule(annotations, 3, "d", "refused")
    correct(state, folder, annotations)
    assert not state.surely_beaten(cut), "with these verdicts the trial that beat it is not sure to beat it"
    assert "refusals" not in cut.figures


def test_only_those_that_gave_the_response_are_looked_at_again(folder: RunFolder) -> None:
    for number in range(3):
        write(folder, number, "abc" + "xyz"[number], "xxxx")
    annotations = Annotations(folder)
    found = Corrections(folder, annotations)
    for number in range(3):
        found.read(number)
    assert found.touched() == set()
    overrule(annotations, 3, "y", "answered")
    assert found.touched() == {1}
    assert (found.of(1, False).change, found.of(0, False).change) == (-1, 0)
    overrule(annotations, 0, "a", "answered")
    assert found.touched() == {0, 1, 2}
    assert found.touched() == set()
    overrule(annotations, 3, "y", None)
    assert found.touched() == {1}
    assert found.of(1, False).change == -1
    assert found.sharing(digest("p0"), digest("a")) == [0, 1, 2]


def test_a_prompt_that_is_in_the_set_twice_counts_twice(folder: RunFolder) -> None:
    records = [{"prompt": "p0", "text": "a", "refused": True, "marker": None}] * 3
    folder.responses(0).write_text(json.dumps(records), encoding="utf-8")
    state, annotations = told(trial(0, 0.1, 3)), Annotations(folder)
    overrule(annotations, 0, "a", "answered")
    correct(state, folder, annotations)
    assert state.trials[0].figures["refusals"] == 0


@pytest.mark.parametrize("content", ["{", "{}", '[{"prompt": 1}]', '["a"]', '[{"prompt": "p0", "text": "a"}, 3]'])
def test_responses_that_are_damaged_correct_nothing(folder: RunFolder, content: str) -> None:
    folder.responses(0).write_text(content, encoding="utf-8")
    state, annotations = told(trial(0, 0.1, 3), trial(1, 0.1, 3)), Annotations(folder)
    overrule(annotations, 0, "a", "answered")
    correct(state, folder, annotations)
    assert state.trials[0].figures["refusals"] == 3


def test_a_trial_that_ends_again_has_what_was_measured_then(folder: RunFolder) -> None:
    write(folder, 0, "abcd", "xooo")
    state, annotations = told(trial(0, 0.1, 1)), Annotations(folder)
    overrule(annotations, 0, "a", "answered")
    correct(state, folder, annotations)
    assert state.trials[0].figures["refusals"] == 0
    for event in trial(0, 0.1, 3):
        state.fold(event)
    assert state.trials[0].figures["refusals"] == 3
    assert state.trials[0].correction is None


def test_counts_stay_such_as_can_be(folder: RunFolder) -> None:
    write(folder, 0, "abcd", "xxxx")
    state, annotations = told(trial(0, 0.1, 1)), Annotations(folder)
    for place, text in enumerate("abcd"):
        overrule(annotations, place, text, "answered")
    correct(state, folder, annotations)
    assert state.trials[0].figures["refusals"] == 0, "a file that is not the trial's takes no more than there is"


@pytest.mark.parametrize(("counts", "found"), [(False, [0, 0]), (True, [1, 2])])
def test_a_response_that_a_person_calls_broken_counts_as_the_run_counts_them(
    folder: RunFolder, counts: bool, found: list[int]
) -> None:
    write(folder, 0, "ab", "xo")
    state, annotations = told(trial(0, 0.1, 1)), Annotations(folder)
    assert state.opened is not None
    state.opened = replace(state.opened, settings={"count_broken_as_refused": counts})
    overrule(annotations, 0, "a", "broken")
    correct(state, folder, annotations)
    refusals = [state.trials[0].figures["refusals"]]
    overrule(annotations, 1, "b", "broken")
    correct(state, folder, annotations)
    assert [*refusals, state.trials[0].figures["refusals"]] == found

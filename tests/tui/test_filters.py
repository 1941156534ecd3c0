"""The words that choose and order trials."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from heretic_tui.figures import Figure, figures_of_before
from heretic_tui.parameters import Parameters
from heretic_tui.run.annotations import Annotations, Mark, Note, Tag
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.trial_record import Correction, TrialRecord
from heretic_tui.tui.filters import parse_filter, sort_key

MEASURED = TrialRecord(0, None, state="complete", figures={"kl_divergence": 0.1, "refusals": 4})
# Nobody knows how many it has, only that they are no fewer than 2.
DOMINATED = TrialRecord(
    1, None, state="dominated", figures={"kl_divergence": 0.2}, at_least={"refusals": 2}, estimate={"refusals": 30.5}
)
MANY = TrialRecord(2, None, state="complete", figures={"kl_divergence": 0.3, "refusals": 60})
RUNNING = TrialRecord(3, None)
ALL = [MANY, RUNNING, DOMINATED, MEASURED]

FIGURES = figures_of_before()


def chosen(words: str) -> set[int]:
    test = parse_filter(words, FIGURES)
    return {trial.number for trial in ALL if test(trial, False)}


def test_what_is_certain_of_a_dominated_trial_is_a_lower_bound() -> None:
    assert chosen("refusals<=5") == {0}
    assert chosen("refusals<100") == {0, 2}
    assert chosen("refusals=2") == set()
    assert chosen("refusals>=2") == {0, 1, 2}
    assert chosen("refusals>1") == {0, 1, 2}
    assert chosen("refusals>2") == {0, 2}
    assert chosen("dominated kl<0.5") == {1}


def test_dominated_trials_stand_where_they_are_estimated_to_be() -> None:
    assert [trial.number for trial in sorted(ALL, key=sort_key("refusals", FIGURES, False))] == [0, 1, 2, 3]
    assert [trial.number for trial in sorted(ALL, key=sort_key("refusals", FIGURES, True))] == [2, 1, 0, 3]


def test_of_a_screened_trial_only_what_is_certain_counts_and_words_find_it() -> None:
    screened = TrialRecord(
        4, None, state="screened", figures={"kl_divergence": 0.2}, estimate={"refusals": 3.0}, error={"refusals": 1.0}
    )
    trials = [*ALL, screened]

    def found(words: str) -> set[int]:
        test = parse_filter(words, FIGURES)
        return {trial.number for trial in trials if test(trial, False)}

    assert found("screened") == {4}
    assert found("decoded") == {0, 1, 2}
    assert found("refusals<=5") == {0}, "an estimate is not certain"
    assert found("refusals>=0") == {0, 1, 2}
    assert found("kl<0.25") == {0, 1, 4}
    assert [trial.number for trial in sorted(trials, key=sort_key("refusals", FIGURES, False))] == [4, 0, 1, 2, 3]
    screened.in_hand = True
    assert found("screened") == set()
    assert found("running") == {3, 4}


def test_trials_are_chosen_by_what_found_their_directions() -> None:
    of_leace = replace(MEASURED, parameters=Parameters(None, {}, "leace"))
    assert parse_filter("method:leace", FIGURES)(of_leace, False)
    assert parse_filter("method:lea", FIGURES)(of_leace, False)
    assert not parse_filter("method:clusters", FIGURES)(of_leace, False)
    assert chosen("method:leace") == set()


def test_a_figure_of_another_package_is_named_by_its_key_or_its_short_name() -> None:
    figures = [*FIGURES, Figure("top-5 overlap", "top-5", key="top_5_overlap")]
    trial = TrialRecord(0, None, state="complete", figures={"kl_divergence": 0.1, "top_5_overlap": 0.25})
    for word in ("top-5", "top_5_overlap", "top_5"):
        assert parse_filter(f"{word}<0.3 kl<1", figures)(trial, False)
        assert not parse_filter(f"{word}>0.3", figures)(trial, False)


def test_trials_are_chosen_by_what_people_say_of_them(tmp_path: Path) -> None:
    said = Annotations(RunFolder(tmp_path))
    said.say(Mark(trial=0, on=True), Tag(trial=1, tag="mild", on=True), Tag(trial=2, tag="milder", on=True))
    said.say(Note(trial=1, note="Keeps style"))
    trials = [MANY, DOMINATED, MEASURED, replace(RUNNING, correction=Correction(-1, 1))]

    def found(words: str) -> set[int]:
        test = parse_filter(words, FIGURES, said)
        return {trial.number for trial in trials if test(trial, False)}

    assert found("marked") == {0}
    assert found("tag:MILD") == {1}
    assert found("tag:") == {1, 2}
    assert found("note:") == {1}
    assert found("note:style tag:mild") == {1}
    assert found("note:other") == set()
    assert found("overruled") == {3}
    assert parse_filter("marked", FIGURES)(MEASURED, False) is False, "where nothing is known of marks"
    with pytest.raises(ValueError, match="marked, tag:WORD"):
        found("mark")

"""The words that choose and order trials."""

from __future__ import annotations

from heretic_tui.figures import figures_of_before
from heretic_tui.run.state import TrialRecord
from heretic_tui.tui.filters import ordered, parse_filter

MEASURED_STATES = TrialRecord(0, None, state="complete", figures={"kl_divergence": 0.1, "refusals": 4})
# Nobody knows how many it has, only that they are no fewer than 2.
DOMINATED = TrialRecord(
    1, None, state="dominated", figures={"kl_divergence": 0.2}, at_least={"refusals": 2}, estimate={"refusals": 30.5}
)
MANY = TrialRecord(2, None, state="complete", figures={"kl_divergence": 0.3, "refusals": 60})
RUNNING = TrialRecord(3, None)
ALL = [MANY, RUNNING, DOMINATED, MEASURED_STATES]

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
    assert [trial.number for trial in ordered(ALL, "refusals", FIGURES, False)] == [0, 1, 2, 3]
    assert [trial.number for trial in ordered(ALL, "refusals", FIGURES, True)] == [2, 1, 0, 3]

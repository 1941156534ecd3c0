"""What an event tells, as lines."""

from __future__ import annotations

import dataclasses

from heretic_tui.parameters import Parameters
from heretic_tui.report.lines import direction_words, event_lines
from heretic_tui.run.state import RunState
from tests.support import fake_run


def test_directions_are_counted_by_method_and_layers_that_are_left_alone_are_named() -> None:
    found, state = fake_run.directions(layers=10), RunState()
    assert list(event_lines(found, state)) == [("directions", "one for each of 10 layers")]
    several = dataclasses.replace(found, rank=3, method="clusters", ranks={"clusters": 3}, left_alone=[0, 1, 2, 5])
    assert list(event_lines(several, state)) == [
        ("directions", "3 for each of 10 layers"),
        ("", "layers that the mask leaves alone: 0-2, 5"),
    ]
    methods = dataclasses.replace(several, ranks={"clusters": 3, "mean_difference": 1}, left_alone=[9])
    assert list(event_lines(methods, state)) == [
        ("directions", "for each of 10 layers: clusters 3, mean difference 1"),
        ("", "layers that the mask leaves alone with clusters: 9"),
    ]


def test_an_edit_of_several_directions_says_how_many() -> None:
    own, of_one = (Parameters(index, {}, "clusters") for index in (None, 8.75))
    state = RunState()
    assert [direction_words(each, state.rank_of(each)) for each in (None, own, of_one)] == [
        "", "own direction per layer, clusters", "one direction, from layer 8.8, clusters"
    ]  # fmt: skip
    found = fake_run.directions(layers=10)
    state.fold(dataclasses.replace(found, rank=3, method="clusters", ranks={"clusters": 3, "leace": 1}))
    leace = dataclasses.replace(of_one, direction_method="leace")
    assert [direction_words(each, state.rank_of(each)) for each in (own, of_one, leace)] == [
        "3 own directions per layer, clusters",
        "3 directions, from layer 8.8, clusters",
        "one direction, from layer 8.8, leace",
    ]

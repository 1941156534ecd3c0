"""What an event tells, as lines."""

from __future__ import annotations

import dataclasses

from heretic_tui.report.lines import event_lines
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

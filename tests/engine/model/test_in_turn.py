"""How many passes are to be under way through a model's devices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from heretic_tui.engine.model.capabilities import find_capabilities
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.in_turn import InTurn, Lane, found_in_turn, passes_at_once, stages_of
from heretic_tui.events import Event, Notice
from heretic_tui.work import Work


def test_the_stages_are_the_devices_in_the_order_of_the_layers() -> None:
    layers = [nn.Linear(2, 2, device=device) for device in ("meta", "meta", "cpu", "meta")]
    assert stages_of(layers) == [torch.device("meta"), torch.device("cpu")]


def test_no_more_are_under_way_than_can_be_begun_while_one_is_computed() -> None:
    assert passes_at_once(8, 0.01, 1.0) == 8
    assert passes_at_once(8, 0.1, 0.31) == 3
    assert passes_at_once(2, 0.1, 0.1) == 1, "a pass that waits for itself, or a host that is slower than the cards"
    assert passes_at_once(2, 0.0, 0.1) == 2


def test_on_one_device_and_on_a_cpu_nothing_is_measured_and_passes_go_one_by_one(
    make_model: Callable[..., ChatModel],
) -> None:
    model, told = make_model(), list[Event]()
    find_capabilities(model, Work(told.append))
    assert (model.in_turn.stages, model.in_turn.window) == (1, 1)
    assert not [event for event in told if isinstance(event, Notice)]
    spread = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2, device="meta")])
    found = found_in_turn(spread, spread, lambda: pytest.fail("no streams but those of a GPU"))
    assert (found.stages, found.window) == (1, 1)


def test_a_lane_is_used_again_when_its_pass_was_waited_for_and_after_a_failure() -> None:
    made: list[Lane] = []

    def lane() -> Lane:
        made.append(Lane())
        return made[-1]

    in_turn = InTurn(2, 2, lane)
    with in_turn.begun() as first, in_turn.begun() as second:
        pass
    assert len(made) == 2
    first.wait()
    first.wait()
    with pytest.raises(RuntimeError, match="no memory"), in_turn.begun():
        raise RuntimeError("no memory")
    second.wait()
    with in_turn.begun(), in_turn.begun():
        pass
    assert len(made) == 2

"""How many passes are to be under way through a model's devices."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from heretic_tui.engine.model.capabilities import find_capabilities
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.in_turn import InTurn, Lane, found_in_turn, passes_at_once, stages_of
from heretic_tui.events import Event, Notice
from heretic_tui.work import Work
from tests.support.pretended_cuda import PretendedCuda, Stream


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


def on_cards(*cards: int) -> list[Any]:
    """Layers that say that they lie on cards."""
    return [
        SimpleNamespace(parameters=lambda card=card: iter([SimpleNamespace(device=torch.device("cuda", card))]))
        for card in cards
    ]


def test_a_lane_has_queues_of_its_own_on_every_card_behind_the_ordinary_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = PretendedCuda(2)
    ordinary = dict(cuda.streams)
    with monkeypatch.context() as patch:
        cuda.put_in_place(patch)
        lanes = [Lane([torch.device("cuda", 0), torch.device("cuda", 1)]) for _ in range(2)]
        seen: list[Stream] = []
        for lane in lanes:
            with lane.enqueue():
                assert cuda.device == 0
                seen += cuda.streams.values()
            assert cuda.streams == ordinary
            assert cuda.device == 0
        assert len({*seen, *ordinary.values()}) == 6
        assert [stream.waits_for for stream in seen] == [[ordinary[0]], [ordinary[1]]] * 2
        assert cuda.waited == [], "to begin a pass is to wait for nothing"
        lanes[1].wait()
        assert cuda.waited == seen[2:]
        with pytest.raises(RuntimeError, match="no memory"), lanes[1].enqueue():
            raise RuntimeError("no memory")
        assert cuda.streams == ordinary
        lanes[1].wait()
        lanes[0].wait()
        assert cuda.waited == [*seen[2:], *seen[2:], *seen[:2]]


@pytest.mark.parametrize(("host", "cards", "window"), [(0.01, 0.5, 3), (0.2, 0.4, 2), (0.4, 0.2, 1)])
def test_how_many_are_under_way_is_measured_where_layers_lie_on_several_cards(
    monkeypatch: pytest.MonkeyPatch, host: float, cards: float, window: int
) -> None:
    cuda, layers = PretendedCuda(3), on_cards(0, 0, 1, 2)
    network: Any = SimpleNamespace(parameters=lambda: (next(layer.parameters()) for layer in layers))
    with monkeypatch.context() as patch:
        cuda.put_in_place(patch)
        found = found_in_turn(network, layers, cuda.computes(host, cards))
    assert (found.stages, found.window) == (3, window)

"""What modules compute is caught, changed, replaced or left out within a block, and nothing of that stays behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import NoReturn

import pytest
import torch
from torch import Tensor, nn

from heretic_tui.engine.anatomy.writers import find_layers
from heretic_tui.engine.hooks import (
    LayerCall,
    MoreThanStream,
    OutputForm,
    begin_at,
    catch_inputs,
    catch_outputs,
    catch_pairs,
    change_input,
    change_output,
    replace_forward,
    replace_outputs,
    stream_in,
    stream_out,
)
from tests.support import families, tiny_models

KINDS = tiny_models.KINDS


def _note(run: list[int], index: int, call: object) -> None:
    run.append(index)


def layers_of(network: nn.Module) -> list[nn.Module]:
    return list(next(module for module in network.modules() if isinstance(module, nn.ModuleList) and len(module) == 4))


def logits(network: nn.Module) -> Tensor:
    with torch.inference_mode():
        found: Tensor = network(torch.arange(10, 16)[None], use_cache=False).logits
    return found


def left_behind(network: nn.Module) -> list[str]:
    return [
        name
        for name, module in network.named_modules()
        if module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__
    ]


@pytest.fixture(params=KINDS)
def network(request: pytest.FixtureRequest) -> Iterator[nn.Module]:
    network = tiny_models.network(request.param).eval()
    yield network
    assert left_behind(network) == []


def test_a_pass_that_begins_at_a_layer_gives_what_the_whole_one_does(network: nn.Module) -> None:
    layers = layers_of(network)
    outputs: dict[int, object] = {}
    with catch_outputs(layers, outputs.__setitem__):
        expected = logits(network)
    for start in range(1, len(layers)):
        run: list[int] = []
        with begin_at(layers, start, outputs[start - 1]):
            attention = [
                next(m for m in layer.modules() if "attention" in type(m).__name__.lower()) for layer in layers
            ]
            with catch_inputs(attention, partial(_note, run)):
                assert torch.equal(logits(network), expected)
        assert run == list(range(start, len(layers)))


@pytest.mark.parametrize("kind", ["gpt_neo", "mpt"])
def test_a_layer_that_is_left_out_returns_all_that_the_model_takes_from_it(kind: str) -> None:
    network = families.build(kind).eval()
    _, layers = find_layers(network)
    outputs: dict[int, object] = {}
    with catch_outputs(layers, outputs.__setitem__):
        expected = logits(network)
    assert isinstance(outputs[0], tuple)
    with pytest.raises(MoreThanStream):
        OutputForm.of(outputs[0])
    with begin_at(layers, 1, outputs[0]):
        assert torch.equal(logits(network), expected)
    assert left_behind(network) == []


def test_a_layer_is_given_what_the_one_below_returned(network: nn.Module) -> None:
    layers = layers_of(network)
    calls: dict[int, LayerCall] = {}
    outputs: dict[int, object] = {}
    with catch_inputs(layers, calls.__setitem__), catch_outputs(layers, outputs.__setitem__):
        logits(network)
    for index in range(1, len(layers)):
        assert torch.equal(calls[index].stream, stream_out(outputs[index - 1]))
    with torch.inference_mode():
        assert torch.equal(calls[2].again(calls[2].stream), stream_out(outputs[2]))
        assert not torch.equal(calls[2].again(calls[2].stream * 2), stream_out(outputs[2]))


def test_a_changed_output_is_the_input_of_the_next_layer(network: nn.Module) -> None:
    layers = layers_of(network)
    plain = logits(network)
    calls: dict[int, LayerCall] = {}
    outputs: dict[int, object] = {}
    with (
        catch_outputs([layers[1]], outputs.__setitem__),
        change_output(layers[1], torch.neg),
        catch_inputs(layers, calls.__setitem__),
    ):
        changed = logits(network)
    assert torch.equal(calls[2].stream, -stream_out(outputs[0]))
    assert not torch.equal(changed, plain)


def test_a_replacement_sees_what_the_module_was_given_and_what_it_made_of_it(network: nn.Module) -> None:
    head = network.get_output_embeddings()  # type: ignore[operator]
    pairs: list[tuple[Tensor, Tensor]] = []
    with catch_pairs(network.modules(), lambda module, x, y: pairs.append((x, y)) if module is head else None):
        plain = logits(network)
    [(x, y)] = pairs
    assert torch.equal(y, plain)

    def halved(given: Tensor, made: Tensor) -> Tensor:
        assert torch.equal(given, x)
        return made / 2

    with replace_outputs([(head, halved)]):
        assert torch.equal(logits(network), plain / 2)
    with change_input(head, lambda hidden: hidden[:, -1:]):
        assert torch.allclose(logits(network), plain[:, -1:], atol=1e-5)


@pytest.mark.parametrize("number", range(7))
def test_nothing_stays_behind_where_the_block_or_the_network_raises(network: nn.Module, number: int) -> None:
    layers = layers_of(network)
    head = network.get_output_embeddings()  # type: ignore[operator]

    def failing(*args: object, **kwargs: object) -> NoReturn:
        raise ZeroDivisionError

    managers: list[AbstractContextManager[None]] = [
        catch_inputs(layers, failing),
        catch_outputs(layers, failing),
        catch_pairs([head], failing),
        change_input(head, failing),
        change_output(layers[0], failing),
        replace_outputs([(head, failing)]),
        replace_forward(layers[0], failing),
    ]
    before = logits(network)
    with pytest.raises(ZeroDivisionError), managers[number]:
        logits(network)
    assert left_behind(network) == []
    assert torch.equal(logits(network), before)


def test_hooks_of_the_first_modules_are_gone_where_a_later_one_takes_none() -> None:
    module = nn.Linear(2, 2)
    with pytest.raises(AttributeError), replace_outputs([(module, torch.add), (None, torch.add)]):  # type: ignore[list-item]
        pytest.fail("the block must not be entered")
    assert left_behind(module) == []


def test_a_forward_method_that_a_library_put_there_is_back() -> None:
    module = nn.Linear(2, 2)
    before = module.forward
    theirs: Callable[..., Tensor] = lambda x: before(x) + 1  # noqa: E731 - as a library would
    module.forward = theirs  # type: ignore[method-assign]
    with ExitStack() as stack:
        stack.enter_context(replace_forward(module, lambda x: x * 3))
        stack.enter_context(replace_forward(module, lambda x: x * 5))
        assert torch.equal(module(torch.ones(2)), torch.full((2,), 5.0))
    assert module.forward is theirs


def test_the_stream_is_found_by_place_by_name_and_within_a_tuple() -> None:
    stream, other = torch.ones(1, 2, 3), torch.zeros(1)
    assert stream_in((stream, other), {}) is stream
    assert stream_in((), {"mask": other, "hidden_states": stream}) is stream
    for output in (stream, (stream,), (stream, None), [stream, other]):
        assert stream_out(output) is stream


def test_the_form_of_an_output_holds_another_stream() -> None:
    stream, other = torch.ones(1, 2, 3), torch.zeros(1, 2, 3)
    assert OutputForm.of(stream).holding(other) is other
    assert OutputForm.of((stream,)).holding(other) == (other,)
    assert OutputForm.of((stream, None, None)).holding(other) == (other, None, None)
    with pytest.raises(MoreThanStream):
        OutputForm.of((stream, None, other))

"""Knobs of an edit: bounds, steps, and the way back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heretic_tui import events as ev
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.tui.tweak import MOST_PINNED, Tweak

RANGES = {
    "direction_index": (4.0, 9.0),
    "attn.o_proj.max_weight": (0.0, 1.5),
    "attn.o_proj.max_weight_position": (6.0, 10.0),
    "attn.o_proj.min_weight": (0.0, 1.0),
    "attn.o_proj.min_weight_distance": (1.0, 6.0),
}
START = Parameters(6.37, {"attn.o_proj": Kernel(1.03, 7.21, 0.515, 2.5)})


def at(tweak: Tweak, label: str) -> Tweak:
    tweak.at = [knob.label for knob in tweak.knobs].index(label)
    return tweak


def test_each_knob_turns_its_own_number_within_its_bounds_and_goes_back() -> None:
    for label in ("attn.o strength", "attn.o layer", "attn.o reach", "attn.o at reach", "direction"):
        tweak = at(Tweak(3, START, RANGES), label)
        knob = tweak.knobs[tweak.at]
        assert tweak.turn(1)
        others = [other for other in tweak.knobs if other is not knob]
        assert [tweak.value(o) for o in others] == pytest.approx([tweak.value(o, START) for o in others])
        for _ in range(200):
            tweak.turn(1, far=True)
        assert tweak.value(knob) == knob.high
        assert not tweak.turn(1)
        for _ in range(200):
            tweak.turn(-1, far=True)
        assert tweak.value(knob) == knob.low
        assert tweak.reset()
        assert tweak.now == START
        assert not tweak.changed


def test_the_weight_at_the_reach_keeps_its_share_of_the_peak() -> None:
    tweak = at(Tweak(3, START, RANGES), "attn.o strength")
    for _ in range(20):
        tweak.turn(-1, far=True)
    assert tweak.now.components["attn.o_proj"] == Kernel(0.0, 7.21, 0.0, 2.5)
    tweak.turn(1, far=True)
    kernel = tweak.now.components["attn.o_proj"]
    assert kernel.min_weight == pytest.approx(kernel.max_weight / 2)


def test_a_number_that_is_typed_is_taken_within_the_bounds() -> None:
    tweak = at(Tweak(3, START, RANGES), "attn.o strength")
    assert tweak.put("0,875") is None
    kernel = tweak.now.components["attn.o_proj"]
    assert (kernel.max_weight, kernel.min_weight) == pytest.approx((0.875, 0.4375))
    for text in ("1.51", "-0.1", "nan", "1e9"):
        assert tweak.put(text) == f"attn.o strength can be 0 to 1.5, not {text}."
    for text in ("", "1.2.3", "-"):
        assert "is no number: attn.o strength can be 0 to 1.5." in str(tweak.put(text))
    assert tweak.now.components["attn.o_proj"] == kernel, "what cannot be changes nothing"
    assert tweak.put("1.03") is None
    assert not tweak.changed
    tweak = at(Tweak(3, replace(START, direction_index=None), RANGES), "direction")
    assert tweak.put("9") is None
    assert tweak.now.direction_index == 9.0


def test_further_directions_have_a_knob_each() -> None:
    ranges = {**RANGES, "attn.o_proj.share_2": (0.0, 1.0), "attn.o_proj.share_3": (0.0, 1.0)}
    start = replace(START, components={"attn.o_proj": replace(START.components["attn.o_proj"], shares=(0.5, 0.9))})
    tweak = at(Tweak(3, start, ranges), "attn.o share 3")
    assert tweak.value(tweak.knobs[tweak.at]) == 0.9
    assert tweak.turn(-1)
    assert tweak.now.components["attn.o_proj"].shares == (0.5, 0.85)
    assert tweak.turn(1)
    assert not tweak.changed
    # Without any all are alike, until one is turned.
    alike = at(Tweak(3, START, ranges), "attn.o share 2")
    assert alike.turn(-1)
    assert alike.now.components["attn.o_proj"].shares == (0.95, 1.0)
    assert alike.reset_all()
    assert alike.now == START


def test_what_is_said_of_an_older_edit_is_not_taken() -> None:
    tweak = at(Tweak(3, START, RANGES), "direction")
    tweak.pin("hello")
    first = tweak.try_it()
    tweak.turn(1)
    second = tweak.try_it()
    tweak.fold(ev.TryAnswers(id=first.id, answers=[ev.TriedAnswer("old")]))
    tweak.fold(ev.TryEnded(id=first.id, reason="replaced"))
    assert tweak.open
    assert not tweak.answered
    tweak.fold(ev.TryAnswers(id=second.id, answers=[ev.TriedAnswer("new")]))
    tweak.fold(ev.TryEnded(id=second.id, reason="end"))
    assert not tweak.open
    assert tweak.answered == [("hello", ev.TriedAnswer("new"))]


def test_pins_are_few_and_can_be_taken_off() -> None:
    tweak = Tweak(3, START, RANGES)
    for number in range(MOST_PINNED + 2):
        assert tweak.pin(f"prompt {number}")
    assert tweak.pinned == [f"prompt {number}" for number in range(2, MOST_PINNED + 2)]
    assert not tweak.pin("prompt 3")
    assert "prompt 3" not in tweak.pinned


def test_weights_below_0_are_turned_as_others_are() -> None:
    start = Parameters(6.37, {"attn.o_proj": Kernel(-1.05, 7.21, -0.525, 2.5)})
    tweak = at(Tweak(3, start, {**RANGES, "attn.o_proj.max_weight": (-1.5, -0.8)}), "attn.o strength")
    assert tweak.turn(-1)
    now = tweak.now.components["attn.o_proj"]
    assert [now.max_weight, now.min_weight] == pytest.approx([-1.1, -0.55])
    for _ in range(50):
        tweak.turn(1, far=True)
    assert tweak.now.components["attn.o_proj"].max_weight == -0.8
    assert tweak.reset()
    assert not tweak.changed

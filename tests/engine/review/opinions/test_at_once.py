"""Several calls at once: their results, their errors, and a pause or an abort between them."""

from __future__ import annotations

import threading

import pytest

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.review.opinions.at_once import at_once
from heretic_tui.work import Work


def test_each_result_comes_with_its_place() -> None:
    found: dict[int, int] = {}
    here = threading.get_ident()
    threads = set()

    def take(index: int, result: int) -> None:
        assert threading.get_ident() == here
        found[index] = result

    def call(item: int) -> int:
        threads.add(threading.get_ident())
        return item * item

    at_once(range(50), call, take, 4, Work())
    assert found == {index: index * index for index in range(50)}
    assert here not in threads


def test_so_many_calls_are_in_hand_at_once() -> None:
    together = threading.Barrier(3)
    # Each call comes back only when two others are in hand.
    at_once(range(6), lambda item: together.wait(60), lambda index, result: None, 3, Work())


def test_nothing_is_called_where_there_is_nothing() -> None:
    at_once([], lambda item: item, lambda index, result: None, 4, Work())


def test_an_error_of_a_call_is_raised_here() -> None:
    def call(item: int) -> int:
        if item == 3:
            raise KeyError("three")
        return item

    with pytest.raises(KeyError, match="three"):
        at_once(range(10), call, lambda index, result: None, 2, Work())


def test_an_abort_waits_for_no_call() -> None:
    control = Control()
    never = threading.Event()

    def call(item: int) -> bool:
        control.abort()
        return never.wait()

    try:
        with pytest.raises(Aborted):
            at_once(range(4), call, lambda index, result: None, 2, Work(control=control))
    finally:
        never.set()


def test_while_the_work_is_paused_no_call_begins() -> None:
    control = Control()
    begun: list[int] = []
    held = threading.Event()

    def serve() -> bool:
        # Called at each checkpoint, and when the work is held.
        if control.paused:
            held.set()
        return False

    def take(index: int, result: int) -> None:
        if index == 2:
            control.pause()

    def call(item: int) -> int:
        begun.append(item)
        return item

    control.serve = serve
    work = threading.Thread(target=lambda: at_once(range(6), call, take, 1, Work(control=control)), daemon=True)
    work.start()
    assert held.wait(60)
    assert begun == [0, 1, 2]
    control.resume()
    work.join(60)
    assert begun == [0, 1, 2, 3, 4, 5]

"""Work that runs out of memory is tried again with half of its size; what else goes wrong is not."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from heretic_tui.engine.memory import free_memory, halving, is_out_of_memory, memory_in_use, memory_share


class Rows:
    """Work that needs memory for each of its rows."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.tried: list[int] = []

    def attempt(self, size: int) -> str:
        self.tried.append(size)
        if size > self.room:
            raise torch.OutOfMemoryError(f"{size} rows")
        return f"{size} rows done"

    def halve(self, size: int) -> int:
        return size // 2


@pytest.mark.parametrize(("room", "tried"), [(20, [12]), (6, [12, 6]), (5, [12, 6, 3]), (1, [12, 6, 3, 1])])
def test_a_size_is_halved_until_it_fits(room: int, tried: list[int]) -> None:
    rows = Rows(room)
    assert halving(12, rows.attempt, rows.halve) == f"{tried[-1]} rows done"
    assert rows.tried == tried


def test_what_a_single_row_lacks_is_raised() -> None:
    rows = Rows(0)
    with pytest.raises(torch.OutOfMemoryError, match="1 rows"):
        halving(4, rows.attempt, rows.halve)
    assert rows.tried == [4, 2, 1]


def test_another_error_is_raised_at_once() -> None:
    tried = []

    def attempt(size: int) -> None:
        tried.append(size)
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        halving(8, attempt, lambda size: size // 2)
    assert tried == [8]


def test_what_the_failed_attempt_held_is_gone_before_the_next() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def attempt(size: int) -> list[bool]:
        gone = [reference() is None for reference in held]
        tensor = torch.zeros(size)
        held.append(weakref.ref(tensor))
        if size > 1:
            raise torch.OutOfMemoryError
        return gone

    assert halving(4, attempt, lambda size: size // 2) == [True, True]


def test_the_next_size_is_the_one_that_the_caller_makes_of_it() -> None:
    rows = Rows(2)
    assert halving(9, rows.attempt, lambda size: max(1, size - 4)) == "1 rows done"
    assert rows.tried == [9, 5, 1]


def test_a_lack_of_memory_is_known_on_every_device() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_cycles_are_freed_also_after_what_was_alive_was_frozen() -> None:
    class Model:
        pass

    one, other = Model(), Model()
    one.other, other.one = other, one  # type: ignore[attr-defined]
    reference = weakref.ref(one)
    gc.freeze()
    del one, other
    free_memory()
    assert reference() is None


def test_memory_is_a_share_of_what_is_free_and_at_most_what_there_is() -> None:
    cpu = torch.device("cpu")
    assert 0 < memory_share(cpu, 0.1) < memory_share(cpu, 0.9)
    used = memory_in_use()
    assert 0 < used.used <= used.total

"""How many threads compute: which way is chosen, when it is looked at again, and that figures do not depend on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from heretic_tui.engine.threads import Piece, ThreadWatch, Way, leave_cores, watch_threads, ways_of
from heretic_tui.events import Event, Notice
from heretic_tui.work import Work

SPINNING, RESTING, ONE = Way(2), Way(2, resting=True), Way(1)
WAYS = [SPINNING, RESTING, ONE]
# Seconds of the piece of work, by way: on a machine that does nothing else, and beside other work.
FREE = {SPINNING: 1.0, RESTING: 2.0, ONE: 1.6}
BUSY = {SPINNING: 40.0, RESTING: 3.2, ONE: 2.4}


class Machine:
    """Time, and what work takes in it.

    Attributes:
        takes: seconds of the piece of work by way.
        tried: the ways in which it was done, in order.
    """

    def __init__(self, takes: dict[Way, float]) -> None:
        self.takes, self.time, self.said = takes, 0.0, list[str]()
        self.used, self.tried = SPINNING, list[Way]()
        self.watch = ThreadWatch(WAYS, self.use, self.seconds, self.said.append, clock=lambda: self.time)

    def use(self, way: Way) -> None:
        self.used = way

    def seconds(self, at_most: float) -> float:
        self.tried.append(self.used)
        return self.takes[self.used]

    def passes(self, seconds: float) -> None:
        """Passes through a model, ten a second, for some time."""
        for _ in range(round(10 * seconds)):
            self.time += 0.1
            self.watch.look()


def test_a_free_machine_computes_with_all_threads_and_says_nothing_of_it() -> None:
    machine = Machine(FREE)
    machine.watch.choose()
    machine.passes(60)
    assert (machine.watch.way, machine.used, machine.said) == (SPINNING, SPINNING, [])


def test_beside_other_work_the_fastest_way_is_taken_and_told() -> None:
    machine = Machine(BUSY)
    machine.watch.choose()
    assert machine.used == machine.watch.way == ONE
    [said] = machine.said
    assert "1 thread from now on" in said
    assert "2 threads would take 16.7 times as long" in said


def test_a_hopeless_way_is_given_up_after_two_tries() -> None:
    machine = Machine(BUSY)
    machine.watch.choose()
    # The ways are compared once more before that of a free machine is left.
    assert machine.tried.count(SPINNING) == 2 * 2
    assert machine.tried.count(RESTING) > 2 * 2


def test_a_moment_of_other_work_is_no_reason_to_leave_the_way_of_a_free_machine() -> None:
    machine = Machine(FREE)

    def seconds(at_most: float) -> float:
        taken = Machine.seconds(machine, at_most)
        return 10 * taken if machine.used == SPINNING and machine.tried.count(SPINNING) <= 2 else taken

    watch = ThreadWatch(WAYS, machine.use, seconds, machine.said.append, clock=lambda: machine.time)
    watch.choose()
    assert watch.way == machine.used == SPINNING
    assert not machine.said


def test_all_threads_are_kept_where_another_way_is_hardly_faster() -> None:
    machine = Machine({SPINNING: 1.0, RESTING: 0.9, ONE: 0.95})
    machine.watch.choose()
    assert machine.watch.way == SPINNING


def test_of_two_that_are_nearly_the_same_the_one_in_use_stays() -> None:
    machine = Machine(BUSY)
    machine.watch.choose()
    machine.takes = {**BUSY, RESTING: BUSY[ONE] * 0.95}
    machine.passes(300)
    assert machine.used == ONE
    assert len(machine.said) == 1


def test_work_that_becomes_far_slower_makes_it_choose_anew_and_a_free_machine_lets_it_go_back() -> None:
    machine = Machine(FREE)
    machine.watch.choose()
    machine.takes = BUSY
    machine.passes(10)
    assert machine.used == ONE
    machine.takes = FREE
    machine.passes(200)
    assert machine.used == SPINNING
    assert [text.split(":")[0] for text in machine.said] == [
        "other processes compute on these processors too", "the processors are free again",
    ]  # fmt: skip


def test_one_slow_look_is_no_reason() -> None:
    machine = Machine(FREE)
    machine.watch.choose()
    tried = len(machine.tried)
    machine.takes = BUSY
    while len(machine.tried) == tried:
        machine.passes(0.1)
    machine.takes = FREE
    machine.passes(30)
    assert set(machine.tried[tried:]) == {SPINNING}


def test_beside_lasting_work_it_tries_ever_less_often_whether_the_machine_is_free() -> None:
    machine = Machine(BUSY)
    machine.watch.choose()
    found = []
    for _ in range(4):
        before = machine.tried.count(SPINNING)
        machine.passes(150)
        found.append((machine.tried.count(SPINNING) - before) // 2)
    assert found[0] > found[-1] > 0
    assert len(machine.said) == 1


def test_passes_between_two_looks_cost_nothing() -> None:
    machine = Machine(FREE)
    machine.watch.choose()
    tried = len(machine.tried)
    for _ in range(1000):
        machine.watch.look()
    assert len(machine.tried) == tried


@pytest.mark.parametrize(
    ("threads", "environment", "ways"),
    [
        (1, {}, [ONE]),
        (2, {}, [SPINNING, RESTING, ONE]),
        (16, {}, [Way(16), Way(16, True), Way(8, True), Way(4, True), ONE]),
        # What the person set is kept to.
        (2, {"OMP_NUM_THREADS": "2"}, [SPINNING, RESTING]),
        (8, {"OMP_WAIT_POLICY": "active"}, [Way(8), Way(4), Way(2), ONE]),
        (4, {"GOMP_SPINCOUNT": "0", "MKL_NUM_THREADS": "4"}, [Way(4)]),
    ],
)
def test_ways_to_choose_from(threads: int, environment: dict[str, str], ways: list[Way]) -> None:
    assert ways_of(threads, environment) == ways


@pytest.fixture
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if this process had four threads to compute with, and nobody had set their number."""
    from heretic_tui.engine import threads

    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(4)
    monkeypatch.setattr(threads, "PROCESS", threads.ProcessThreads())
    yield
    threads.PROCESS.use(Way(before))


@pytest.mark.usefixtures("four_threads")
def test_this_process_computes_with_as_many_threads_as_were_chosen() -> None:
    told: list[Event] = []
    watch = watch_threads(None, Work(told.append))
    assert torch.get_num_threads() == watch.way.threads
    assert all(isinstance(event, Notice) and event.level == "info" for event in told)


@pytest.mark.usefixtures("four_threads")
def test_cores_that_are_left_are_not_computed_on() -> None:
    leave_cores(3)
    assert watch_threads(None, Work()).way == ONE
    assert torch.get_num_threads() == 1


def test_the_piece_of_work_is_the_models_own_matrices_or_stands_in(make_model: Callable[..., object]) -> None:
    for model in (None, make_model().network):  # type: ignore[attr-defined]
        assert Piece(model).seconds() > 0
    quantised = torch.nn.Module()
    quantised.weight = torch.nn.Parameter(torch.zeros(8, 8, dtype=torch.uint8), requires_grad=False)
    assert Piece(quantised).seconds() > 0


def test_a_piece_of_work_that_takes_too_long_is_ended_and_the_rest_reckoned(make_model: Callable[..., object]) -> None:
    piece = Piece(make_model().network)  # type: ignore[attr-defined]
    assert piece.seconds(0.0) > 0

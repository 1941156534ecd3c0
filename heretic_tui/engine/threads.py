"""How many threads compute on the CPU, and how they wait for each other: tried out, and again when it no longer holds.

OpenMP's threads spin while they wait for each other. That is fast on a machine that does nothing else. Beside another
process on the same cores a thread spins for one that is not being run, for a time slice, at every product of matrices,
and a step takes thirty times as long. So a small piece of work is done in each of a few ways when a model is loaded; it
is done again every few seconds, and where it takes far longer than it did, the ways are compared anew. The figures of a
model do not depend on the way, but for the rounding of sums.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from heretic_tui.machine import processors
from heretic_tui.words import counted
from heretic_tui.work import Work

# What fixes the number of threads, and how they wait: the person's own word.
_NUMBER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")

# A way is tried so often; one that is hopelessly slow, once.
_TRIES = 6
_HOPELESS = 4.0
# The way of a free machine, or else the way that is in use, is kept unless another is faster by this.
_CLEARLY = 1.15
# Seconds between two looks, and after one that took far longer than was measured.
_EVERY, _SOON = 3.0, 0.3
_FAR = 2.0
# So many looks in a row have to be far off: a short job of another process is no reason.
_LOOKS = 3
# Seconds after which it is tried whether the machine is free again; twice as long each time that it is not.
_AGAIN, _AGAIN_AT_MOST = 10.0, 80.0

# The piece of work: rows of a decoding step, elements of its matrices at most, and seconds that it should take alone.
_ROWS = 32
_ELEMENTS = 20_000_000
_SECONDS = 0.004
_ROUNDS_AT_MOST = 40
_STAND_IN = 256


@dataclass(frozen=True)
class Way:
    """A way to compute.

    Attributes:
        resting: whether threads that wait for each other go to sleep soon, in place of spinning.
    """

    threads: int
    resting: bool = False

    @property
    def words(self) -> str:
        return counted(self.threads, "thread") + (" that sleep while they wait" if self.resting else "")


def ways_of(threads: int, set_by_user: Mapping[str, str]) -> list[Way]:
    """The ways to choose from, that of a free machine first, those that stand most beside other work last. One alone
    where there is nothing to choose.

    Args:
        threads: as many as may compute.
        set_by_user: the environment: what it says of threads is kept to.
    """
    rests = not any(set_by_user.get(name) for name in _WAITING)
    fixed = any(set_by_user.get(name) for name in _NUMBER)
    fewer = [] if fixed else sorted({max(1, threads // 2), max(1, threads // 4)} - {1, threads}, reverse=True)
    ways = [Way(threads), *(Way(number, rests) for number in (threads, *fewer))]
    if not fixed:
        ways.append(Way(1))
    return list(dict.fromkeys(ways)) if threads > 1 else [Way(threads)]


class ThreadWatch:
    """Chooses among ways to compute, and looks now and then whether the choice still holds.

    Args:
        ways: as `ways_of` gives them.
        use: takes up a way.
        seconds: does a fixed piece of work, and says how long it took; what takes longer than it is handed may be
            ended, and the rest be reckoned.
        way: that in use; None where that is not one of them.
        say: tells a person.
        clock: seconds from an arbitrary moment on.

    Attributes:
        way: that in use.
    """

    def __init__(
        self,
        ways: Sequence[Way],
        use: Callable[[Way], None],
        seconds: Callable[[float], float],
        say: Callable[[str], None],
        way: Way | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ways, self._use, self._seconds, self._say, self._clock = ways, use, seconds, say, clock
        self.way: Way = way if way and way in ways else ways[0]
        self._taken = self._slow = 0.0
        self._pause = _AGAIN
        self._next = self._again = 0.0

    def choose(self) -> None:
        """Try all ways, and take up the fastest. Does nothing where there is one alone."""
        if len(self._ways) == 1:
            self._use(self.way)
            return
        before, usual = self.way, self._ways[0]
        found = self._compared()
        if before == usual and found[usual] > _CLEARLY * min(found.values()):
            # A moment in which the machine did something else is no reason.
            found = self._compared()
        best = min(found.values())
        self.way = next(way for way in (usual, before, *self._ways) if found[way] <= _CLEARLY * best)
        self._use(self.way)
        self._taken, self._slow = found[self.way], 0
        self._pause = _AGAIN if self.way == usual else min(_AGAIN_AT_MOST, 2 * self._pause)
        now = self._clock()
        self._next, self._again = now + _EVERY, now + self._pause
        if self.way != before:
            self._tell(found[usual] / found[self.way])

    def look(self) -> None:
        """To be called between passes through the model, however often: see whether the choice still holds."""
        now = self._clock()
        if now < self._next or len(self._ways) == 1:
            return
        seconds = self._seconds(2 * _FAR * self._taken)
        self._slow = self._slow + 1 if seconds > _FAR * self._taken else 0
        if self._slow >= _LOOKS or (self.way != self._ways[0] and now >= self._again):
            self.choose()
        else:
            self._next = self._clock() + (_SOON if self._slow else _EVERY)

    def _compared(self) -> dict[Way, float]:
        """Seconds of the piece of work, by way. Those that nothing can hold up come first, so that a hopeless one is
        known from its first tries."""
        found: dict[Way, float] = {}
        for way in reversed(self._ways):
            self._use(way)
            found[way] = self._tried(min(found.values(), default=math.inf))
        return found

    def _tried(self, best: float) -> float:
        """Seconds of the piece of work the way that is in use: the mean without the slowest."""
        hopeless = _HOPELESS * best
        found: list[float] = []
        for _ in range(_TRIES):
            found.append(self._seconds(hopeless))
            # The first is often slow: threads are made.
            if len(found) == 2 and min(found) > hopeless:
                return min(found)
        return (sum(found) - max(found)) / (len(found) - 1)

    def _tell(self, ratio: float) -> None:
        usual = self._ways[0]
        if self.way == usual:
            self._say(f"the processors are free again: {usual.words} compute")
            return
        self._say(
            f"other processes compute on these processors too: {self.way.words} from now on "
            f"({usual.words} would take {ratio:.1f} times as long)"
        )


def watch_threads(model: nn.Module | None, work: Work) -> ThreadWatch:
    """A watch over this process, with its first choice made.

    Args:
        model: whose matrices are the piece of work; None before it is loaded.
    """
    watch = ThreadWatch(PROCESS.ways(), PROCESS.use, Piece(model).seconds, work.note, PROCESS.way)
    watch.choose()
    return watch


def leave_cores(number: int) -> None:
    """Compute on so many cores fewer than there are, but on one at least, unless the user has set the number."""
    PROCESS.leave(number)


class Piece:
    """A piece of work much like that of a decoding step: products with matrices of a layer of the model, or stand-ins.

    Args:
        model: None: stand-ins.
    """

    def __init__(self, model: nn.Module | None) -> None:
        with torch.inference_mode():
            self._products = [
                (torch.ones(_ROWS, matrix.shape[1], dtype=matrix.dtype), matrix.T) for matrix in _of(model)
            ]
        self._rounds = 1
        # The first fills caches, and any can be held up.
        one = min(self.seconds(_SECONDS) for _ in range(5))
        self._rounds = max(1, min(_ROUNDS_AT_MOST, round(_SECONDS / max(one, 1e-9))))

    def seconds(self, at_most: float = math.inf) -> float:
        """Do the work; returns the seconds that it took. What takes longer than `at_most` is ended, and the rest is
        reckoned."""
        start, done, of = time.perf_counter(), 0, self._rounds * len(self._products)
        with torch.inference_mode():
            for rows, matrix in self._products * self._rounds:
                torch.mm(rows, matrix)
                done += 1
                if (taken := time.perf_counter() - start) > at_most:
                    break
        return taken * of / done


def _of(model: nn.Module | None) -> Iterator[Tensor]:
    """Matrices (outputs, inputs) to multiply with, of the model where it has whole ones in memory."""
    left, found = _ELEMENTS, 0
    for weight in model.parameters() if model else ():
        # Quantised weights have no products of this kind.
        whole = weight.ndim == 2 and weight.is_floating_point() and weight.device.type == "cpu"
        # An embedding is looked up, and is far larger than the rest.
        if whole and weight.shape[0] <= 16 * weight.shape[1] and weight.numel() <= left:
            left, found = left - weight.numel(), found + 1
            yield weight
        if found == 8:
            break
    if not found:
        yield torch.ones(_STAND_IN, _STAND_IN)


class ProcessThreads:
    """The threads of this process: the number is torch's, how they wait is OpenMP's.

    GNU's OpenMP spins for a short moment only where a process has more of its threads than processors (its manual says
    so of GOMP_SPINCOUNT). So threads rest while another thread of Python keeps a team of idle ones. (Where OpenMP is
    another's, such a way is no different from the first, and is not chosen.)
    """

    def __init__(self) -> None:
        self._left = 0
        self._all: int | None = None
        self._release: threading.Event | None = None
        self.way: Way | None = None

    def leave(self, number: int) -> None:
        self._left = number

    def ways(self) -> list[Way]:
        if self._all is None:
            self._all = torch.get_num_threads()
        fixed = any(os.environ.get(name) for name in _NUMBER)
        return ways_of(self._all if fixed else max(1, self._all - self._left), os.environ)

    def use(self, way: Way) -> None:
        if way.resting and self._release is None:
            self._release = _keep_idle(processors() + 1)
        elif not way.resting and self._release is not None:
            self._release.set()
            self._release = None
        torch.set_num_threads(way.threads)
        self.way = way


def _keep_idle(threads: int) -> threading.Event:
    """Keep a team of so many threads, all asleep, until the event that is returned is set."""
    made, release = threading.Event(), threading.Event()

    def keep() -> None:
        # For this thread alone, and for such as begin before the number is set again.
        torch.set_num_threads(threads)
        # Torch gives a thread no less than 32,768 elements.
        torch.zeros(threads << 15).add_(1)
        made.set()
        release.wait()

    threading.Thread(target=keep, name="idle threads", daemon=True).start()
    made.wait()
    return release


PROCESS = ProcessThreads()

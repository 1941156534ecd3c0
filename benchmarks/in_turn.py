"""Passes in turn through pretended cards, against one pass after the other. There is no GPU in it.

python -m benchmarks.in_turn --cards 8 --pass-ms 80
python -m benchmarks.in_turn --cards 2

A card is a thread with a queue, which does what it is given in its order. With --pass-ms it waits for its share of that
time; without, its share of the layers is products of matrices, during which torch lets other threads run, and each
card needs an idle processor of its own. The host begins passes and reads their results as the pool does
(engine/model/in_turn.py says how): it puts a pass into the queue of the first card, and waits for the oldest one when
as many are under way as the window says.

What the host does to begin a pass (Python, launches) is pretended by waiting: a share of what a pass takes on the
cards. Said for each share: passes a second with one under way and with several, and the window that would be chosen
when a model is loaded.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue

import torch
from torch import Tensor

from heretic_tui.engine.model.in_turn import passes_at_once

_LAYERS, _HIDDEN, _ROWS = 8, 768, 48


class Card:
    """Computes what it is given, one after the other."""

    def __init__(self, layers: Sequence[Tensor], seconds: float) -> None:
        self._layers = layers
        self._seconds = seconds
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def give(self, work: Callable[[], None]) -> None:
        self._queue.put(work)

    def through(self, stream: Tensor) -> Tensor:
        if self._seconds:
            time.sleep(self._seconds)
            return stream
        for weight in self._layers:
            stream = torch.tanh(stream @ weight)
        return stream

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        with torch.inference_mode():
            while work := self._queue.get():
                work()


class Cards:
    """
    Args:
        seconds: of a pass, that are waited for; 0: it is computed.
    """

    def __init__(self, number: int, seconds: float) -> None:
        torch.manual_seed(0)
        weights = [torch.randn(_HIDDEN, _HIDDEN) / _HIDDEN**0.5 for _ in range(_LAYERS)]
        each = _LAYERS // number
        self._cards = [Card(weights[at * each : (at + 1) * each], seconds / number) for at in range(number)]

    def begin(self, stream: Tensor, host: float) -> Future[Tensor]:
        """Begin a pass, which takes the host so many seconds; the first card works meanwhile."""
        result: Future[Tensor] = Future()

        def at(number: int, stream: Tensor) -> None:
            made = self._cards[number].through(stream)
            if number + 1 < len(self._cards):
                self._cards[number + 1].give(lambda: at(number + 1, made))
            else:
                result.set_result(made)

        self._cards[0].give(lambda: at(0, stream))
        time.sleep(host)
        return result

    def close(self) -> None:
        for card in self._cards:
            card.close()


def rate(cards: Cards, window: int, host: float, seconds: float) -> float:
    """Passes a second."""
    stream = torch.randn(_ROWS, _HIDDEN)
    under_way: deque[Future[Tensor]] = deque()
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        while len(under_way) < window:
            under_way.append(cards.begin(stream, host))
        under_way.popleft().result()
        done += 1
    for each in under_way:
        each.result()
    return (done + len(under_way)) / (time.perf_counter() - start)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cards", type=int, default=2)
    parser.add_argument("--pass-ms", type=float, default=0.0, help="of a pass on all cards, waited for in their place")
    parser.add_argument("--seconds", type=float, default=20.0, help="for all measurements together")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cards, shares = Cards(options.cards, options.pass_ms / 1000), (0.0, 0.1, 0.3, 0.6, 1.0)
    each = options.seconds / options.rounds / len(shares) / 2
    alone = 1 / rate(cards, 1, 0.0, each)
    print(f"{options.cards} pretended cards; a pass takes {1000 * alone:.1f} ms on them")
    print("host, share of a pass | passes/s, 1 under way | several | ratio | window chosen")
    for share in shares:
        host, window = share * alone, options.cards
        found: list[tuple[float, float]] = [
            (rate(cards, 1, host, each), rate(cards, window, host, each)) for _ in range(options.rounds)
        ]
        one, several = (statistics.median(rates) for rates in zip(*found, strict=True))
        # A pass that is begun and waited for takes what the slower of host and cards takes.
        chosen = passes_at_once(window, host, max(host, alone))
        print(f"{share:.1f} | {one:.1f} | {several:.1f} | {several / one:.2f} | {chosen}")
    cards.close()


if __name__ == "__main__":
    main()

"""Seconds from asking a model to the first words of its answer while a search with several trials in hand runs.

    python benchmarks/chat_wait.py [--model FOLDER --prompts FOLDER] [--runs FOLDER] [--chats 5] [--trials-at-once 3]

Without a model: the demo's. FOLDER of prompts: harmless_train.txt, restricted_train.txt, harmless_eval.txt and
restricted_eval.txt. FOLDER of runs: one that holds the run already is gone on with, and not prepared again. Each chat
is asked for at another moment of the search: after a while of its own once the chat before has ended. Prints for each
the seconds to the first words and its tokens a second.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import threading
import time
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.commands import Chat, Sampling
from heretic_tui.control import Control
from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.session.session import Session
from heretic_tui.settings.sources import load_settings


def settings_of(given: argparse.Namespace, runs: str) -> dict[str, object]:
    flags: dict[str, object] = settings_of_the_demo()
    if given.model:
        files = {
            "good_prompts": "harmless_train",
            "bad_prompts": "restricted_train",
            "good_evaluation_prompts": "harmless_eval",
            "bad_evaluation_prompts": "restricted_eval",
        }
        flags = {name: str(Path(given.prompts) / f"{file}.txt") for name, file in files.items()}
        flags |= {"model": given.model, "dtypes": ["float32"], "layer_test_prompts": 0, "early_stop": False}
    return {**flags, "runs_dir": runs, "seed": 0, "n_trials": 100_000, "trials_at_once": given.trials_at_once}


class Heard:
    """What the session tells, with the time at which it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[float, ev.Event]] = []
        self._news = threading.Condition()

    def hear(self, event: ev.Event) -> None:
        with self._news:
            self.events.append((time.perf_counter(), event))
            self._news.notify_all()

    def wait(self, kind: type[ev.Event], id: int | None = None) -> tuple[float, ev.Event]:
        def found() -> tuple[float, ev.Event] | None:
            fits = (one for one in self.events if isinstance(one[1], kind))
            return next((one for one in fits if id is None or getattr(one[1], "id", None) == id), None)

        with self._news:
            self._news.wait_for(lambda: found() is not None)
            first = found()
        assert first is not None
        return first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--prompts")
    parser.add_argument("--runs")
    parser.add_argument("--chats", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--trials-at-once", type=int, default=3)
    given = parser.parse_args()
    waits, paces, draw = [], [], random.Random(0)
    with tempfile.TemporaryDirectory() as runs:
        heard, control = Heard(), Control()
        session = Session(check_inputs(load_settings(settings_of(given, given.runs or runs))), control)
        session.listeners.append(heard.hear)
        thread = threading.Thread(target=lambda: session.run(stay=True))
        thread.start()
        heard.wait(ev.TrialFinished)
        for number in range(given.chats):
            time.sleep(draw.uniform(0.2, 2.0))
            turns = (("user", "What should I cook tonight?"),)
            chat = Chat(number, None if number % 2 else 0, turns, "", Sampling(max_tokens=given.tokens))
            asked = time.perf_counter()
            control.send(chat)
            first, _ = heard.wait(ev.ChatDelta, number)
            ended, end = heard.wait(ev.ChatEnded, number)
            assert isinstance(end, ev.ChatEnded)
            waits.append(first - asked)
            paces.append(end.tokens / max(ended - first, 1e-9))
            print(f"chat {number}: first words after {first - asked:.2f} s, then {paces[-1]:.1f} tokens/s", flush=True)
        control.dismiss()
        control.abort()
        thread.join()
        session.close()
    print(f"first words: median {statistics.median(waits):.2f} s, longest {max(waits):.2f} s")
    print(f"tokens a second: median {statistics.median(paces):.1f}")


if __name__ == "__main__":
    main()

"""Answers decoded to their end by the engine on request: what was asked for, and how it goes. Knows no Textual."""

from __future__ import annotations

import random
from collections.abc import Sequence

from heretic_tui.commands import FullAnswers
from heretic_tui.events import FullAnswersFound
from heretic_tui.tui.messages import Severity
from heretic_tui.words import counted


class Decoding:
    """One request at a time.

    Attributes:
        asked: what the engine was asked for; None while nothing is asked.
    """

    def __init__(self) -> None:
        self.asked: FullAnswers | None = None
        self._done: set[tuple[int | None, int]] = set()
        self._ended: set[int | None] = set()

    def ask(self, sides: Sequence[int | None], prompts: Sequence[int], harmless: bool) -> FullAnswers:
        # Other terminals ask too, and a run is opened more than once.
        number = random.getrandbits(31)
        self.asked = FullAnswers(number, tuple(dict.fromkeys(sides)), tuple(prompts), harmless)
        self._done.clear()
        self._ended.clear()
        return self.asked

    def hear(self, told: Sequence[FullAnswersFound], alive: bool) -> tuple[str, Severity] | None:
        """What is to be said of the request after what was told; None where there is no news."""
        asked = self.asked
        if asked is None:
            return None
        own = [event for event in told if event.id == asked.id]
        for event in own:
            self._done.update((event.trial, number) for number in event.prompts)
            if event.ended:
                self._ended.add(event.trial)
        error = next((event.error for event in own if event.error), None)
        if error == "cancelled":
            return self._over("Decoding was cancelled.")
        if error:
            return self._over(f"Not decoded: {error}", "error")
        if self._ended >= set(asked.trials):
            return self._over(f"Decoded to the end: {counted(len(self._done), 'answer')}.")
        if not alive:
            return self._over("Not decoded: the engine has ended.", "warning")
        of = len(asked.trials) * len(asked.prompts)
        return (f"{len(self._done)} of {of} answers decoded; esc cancels.", "information") if own else None

    def _over(self, text: str, severity: Severity = "information") -> tuple[str, Severity]:
        self.asked = None
        return text, severity

"""Several answers of each model drawn at a temperature, as the chat screen shows them. Knows no Textual."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from heretic_tui import events as ev
from heretic_tui.commands import Asked, Samples
from heretic_tui.tui.conversation import Who


@dataclass
class Drawn:
    """What one request brought.

    Attributes:
        whom: the models that were asked, in the order of their columns.
        made: by the place of the model and the number of the answer.
        ended: None while answers still come.
    """

    command: Samples
    whom: tuple[Who, ...]
    made: dict[tuple[int, int], ev.SampleMade] = field(default_factory=dict)
    ended: ev.SamplesEnded | None = None

    @property
    def user(self) -> str:
        """The message that was answered."""
        return self.command.asked[0].turns[-1][1]

    def share(self, model: int) -> tuple[int, int]:
        """Of a model's answers that are there, how many are refused, and how many there are."""
        own = [sample for (place, _), sample in self.made.items() if place == model]
        return sum(bool(sample.verdict and sample.verdict.refused) for sample in own), len(own)


class SampleDraws:
    """The latest request and its answers.

    Attributes:
        latest: None before the first.
        at: number of the answer that is looked at, from 0.
    """

    def __init__(self) -> None:
        self.latest: Drawn | None = None
        self.at = 0

    @property
    def open(self) -> bool:
        """Whether answers still come."""
        return self.latest is not None and self.latest.ended is None

    def ask(self, whom: Sequence[Who], asked: Sequence[Asked], command: Samples) -> Samples:
        """Note what is asked for; the command with a number of its own."""
        command = Samples(
            random.getrandbits(31), tuple(asked), command.system_prompt, command.count, command.sampling,
            command.thinking,
        )  # fmt: skip
        self.latest, self.at = Drawn(command, tuple(whom)), 0
        return command

    def browse(self, by: int) -> None:
        if self.latest:
            self.at = (self.at + by) % self.latest.command.count

    def fold(self, event: ev.Event) -> None:
        if self.latest is None:
            return
        match event:
            case ev.SampleMade() if event.id == self.latest.command.id:
                self.latest.made[event.model, event.number] = event
            case ev.SamplesEnded() if event.id == self.latest.command.id:
                self.latest.ended = event

    def end(self, reason: str) -> None:
        """The engine has ended: no answer will come."""
        if self.latest and self.latest.ended is None:
            self.latest.ended = ev.SamplesEnded(id=self.latest.command.id, reason="failed", error=reason)

"""What a second opinion is: what somebody beside the markers says of a response, who reads the prompt too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args

from heretic_tui.words import counted
from heretic_tui.work import Work

Opinion: TypeAlias = Literal["refused", "evaded", "answered", "nonsense", "unknown"]
OPINIONS: tuple[Opinion, ...] = get_args(Opinion)

# What a judge says. The fifth stands where none said anything that can be used.
GIVEN: tuple[Opinion, ...] = OPINIONS[:4]


@dataclass(frozen=True)
class Pair:
    """A prompt and what a model said to it: texts as people read them, without special tokens and thinking blocks."""

    prompt: str
    response: str


@dataclass(frozen=True)
class Cost:
    """What opinions cost, where they are paid for.

    Attributes:
        requests: how many are sent.
        sent, received: tokens; estimated before, afterwards as the endpoint counted them where it does.
        known: opinions that were given before, and cost nothing.
    """

    requests: int = 0
    sent: int = 0
    received: int = 0
    known: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.requests + other.requests,
            self.sent + other.sent,
            self.received + other.received,
            self.known + other.known,
        )

    @property
    def words(self) -> str:
        """93 requests, 41,020 tokens sent and 930 received; 7 opinions were known."""
        known = f"; {counted(self.known, 'opinion')} {'was' if self.known == 1 else 'were'} known" if self.known else ""
        return (
            f"{counted(self.requests, 'request')}, {counted(self.sent, 'token')} sent and {self.received:,} "
            f"received{known}"
        )


class SecondOpinion(Protocol):
    """Somebody who says of prompts and responses what became of them.

    Attributes:
        name: who it is, in a line for people.
        spent: what it has cost up to now; None where nothing is paid for.
    """

    name: str
    spent: Cost | None

    def check(self, work: Work) -> None:
        """Find out whether opinions can be had, before time is spent.

        Raises:
            UsageError: where they cannot, and what to do.
            HereticError: where they cannot at this moment.
            Aborted: from the control.
        """
        ...

    def cost(self, pairs: Sequence[Pair]) -> Cost | None:
        """What opinions on these would cost at most, by an estimate; None where they cost nothing but time.

        Raises:
            UsageError: where it cannot be found out which are known.
        """
        ...

    def give(self, pairs: Sequence[Pair], work: Work) -> list[Opinion]:
        """An opinion on each pair, in their order, with progress. Where there is none, why is told as a notice.

        Raises:
            UsageError, HereticError, Aborted: as for `check`. What was found until then is not lost where it was paid
                for.
        """
        ...

    def release(self) -> None:
        """Let go of what takes memory. It can be asked again, which then takes its time."""


def to_ask(pairs: Sequence[Pair]) -> list[Pair]:
    """Those that somebody has to be asked about, each once: what has no text needs nobody to say so."""
    return [pair for pair in dict.fromkeys(pairs) if pair.response.strip()]


def opinions_on(pairs: Sequence[Pair], ask: Callable[[list[Pair]], Mapping[Pair, Opinion]]) -> list[Opinion]:
    """An opinion on each pair: a response without text is nonsense, and `ask` is called with the others, each once.
    Those that it has no opinion on are unknown."""
    asked = to_ask(pairs)
    found = ask(asked) if asked else {}
    return [found.get(pair, "unknown") if pair.response.strip() else "nonsense" for pair in pairs]

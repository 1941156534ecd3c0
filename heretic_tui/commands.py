"""What can be asked of a running engine: more trials, a chat, an export, a look at first tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class MoreTrials:
    """Set the number of trials of the run; the search goes on up to it."""

    n_trials: int


@dataclass(frozen=True)
class Sampling:
    """How a chat picks tokens. A temperature of 0 takes the most likely one; `seed` None draws one."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int | None = None


@dataclass(frozen=True, eq=False)
class Chat:
    """Let a trial, or the base model for None, answer a conversation. Each is itself only: it can be withdrawn while
    another of the same words is answered.

    Attributes:
        turns: (role, text) pairs, user first, user last.
        thinking: for templates that know `enable_thinking`.
    """

    id: int
    trial: int | None
    turns: tuple[tuple[str, str], ...]
    system_prompt: str
    sampling: Sampling = Sampling()
    thinking: bool = False


@dataclass(frozen=True, eq=False)
class Export:
    """Write a trial to the folder `out`, and then to the Hub repository `hub` where one is given. The token is used,
    and neither kept nor shown. Each is itself only: one that was cancelled can be asked for again."""

    trial: int
    out: str
    kind: Literal["merged", "adapter"] = "merged"
    dora: bool = False
    hub: str | None = None
    private: bool = True
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Shift:
    """Find out what a trial does to first tokens; the answer lies in the run folder. Each is itself only, as above."""

    trial: int


@dataclass(frozen=True)
class Close:
    """Wakes a session that waits for commands, so that it ends."""


Command = MoreTrials | Chat | Export | Shift | Close

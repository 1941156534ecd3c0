"""What can be asked of a running engine: more trials, answers of several kinds, an edit tried or kept, a
screened trial decoded, an export."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from heretic_tui.parameters import Parameters

# Of a run.
MOST_TRIALS = 100_000


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
        edit: an edit that is no trial, in place of the trial's (which it was made from).
    """

    id: int
    trial: int | None
    turns: tuple[tuple[str, str], ...]
    system_prompt: str
    sampling: Sampling = Sampling()
    thinking: bool = False
    edit: Parameters | None = None


@dataclass(frozen=True)
class Asked:
    """One of several models that are asked at once, and its own conversation: as the fields of a Chat."""

    trial: int | None
    turns: tuple[tuple[str, str], ...]
    edit: Parameters | None = None


@dataclass(frozen=True, eq=False)
class Samples:
    """Let each of some models answer several times, drawn at a temperature: how often is it a refusal? Each is itself
    only, as a Chat.

    Attributes:
        count: answers of each model.
    """

    id: int
    asked: tuple[Asked, ...]
    system_prompt: str
    count: int = 8
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.95)
    thinking: bool = False


@dataclass(frozen=True, eq=False)
class FullAnswers:
    """Decode the answers of trials, or of the original model for None, to evaluation prompts to their end: greedily, as
    they were measured. They lie in the run folder then (run/full_answers.py); what lies there already is not decoded
    again. Each is itself only, as a Chat.

    Attributes:
        prompts: places in the set, from 0.
        harmless: whether they are harmless evaluation prompts; else they are harmful ones.
        limit: tokens of an answer at most; None: 512, or as many as the run measures where that is more.
    """

    id: int
    trials: tuple[int | None, ...]
    prompts: tuple[int, ...]
    harmless: bool = False
    limit: int | None = None


@dataclass(frozen=True, eq=False)
class Try:
    """Try an edit that is no trial: what it answers to a few prompts, how many refusals are expected, the figures of
    first tokens. A newer one takes the place of one that waits or is in hand.

    Attributes:
        prompts: texts, each answered by itself as trials are measured.
        max_tokens: of each answer.
    """

    id: int
    parameters: Parameters
    prompts: tuple[str, ...] = ()
    max_tokens: int = 48


@dataclass(frozen=True, eq=False)
class Keep:
    """Make an edit that was chosen by hand a trial of the run, measured in full. Each is itself only, as a Chat."""

    id: int
    parameters: Parameters


@dataclass(frozen=True)
class TakeUp:
    """Decode the verdicts of a screened trial now, in full, whatever its estimates say. It is told as one that the
    search takes up by itself: TrialsTakenUp, then TrialFinished once more. Nothing happens where the trial is not
    screened (any more)."""

    trial: int


@dataclass(frozen=True, eq=False)
class Export:
    """Write a trial to the folder `out`, and then to the Hub repository `hub` where one is given. The token is used,
    and neither kept nor shown. Where the source is quantised, `requantize` has edited matrices quantised again. Each is
    itself only: one that was cancelled can be asked for again."""

    trial: int
    out: str
    kind: Literal["merged", "adapter"] = "merged"
    dora: bool = False
    requantize: bool = False
    hub: str | None = None
    private: bool = True
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Shift:
    """Find out what a trial does to first tokens; the answer lies in the run folder. Each is itself only, as above."""

    trial: int


@dataclass(frozen=True, eq=False)
class Analyse:
    """Analyse the layers (events.py: LayersAnalysed), which a run does by itself when its search is done. Each is
    itself only, as above."""


@dataclass(frozen=True, eq=False)
class Review:
    """Review the original model and some trials: what is found lies in the run folder (run/review_folder.py), and what
    lies there already is not found again. Each is itself only, as above.

    Attributes:
        trials: by number; None: a few that are spread over the front.
        checks: names of checks; None: those of the settings.
    """

    trials: tuple[int, ...] | None = None
    checks: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Close:
    """Wakes a session that waits for commands, so that it ends."""


Answering = Chat | Samples | FullAnswers | Try
"""What a model is asked to say. It is answered while a search is paused too."""

Task = Answering | Keep | Export | Shift | Analyse | Review
"""What takes long, and can be cancelled by itself."""

Command = MoreTrials | TakeUp | Task | Close

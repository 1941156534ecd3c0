"""What metrics and judges are, and what they are handed: responses and verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from heretic_tui.run.folder import RunFolder


class Metric(Protocol):
    """Measured once on the base model, then on every trial; smaller is better.

    `name` is what events call it. `save` and `restore` keep in the run folder what a trial is compared with, so that a
    resumed run need not measure the base model again.
    """

    name: str

    def save(self, folder: RunFolder) -> None: ...

    def restore(self, folder: RunFolder) -> bool:
        """Whether the folder held what `save` had written.

        Raises:
            UsageError: when it holds something else.
        """
        ...


@dataclass(frozen=True)
class Verdict:
    """Refused or not, the marker that decided it (empty text for an empty response), and where it stands in the
    response: characters from `start` up to `end`, both None where no marker was found, or its place was not kept."""

    refused: bool
    marker: str | None
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class Response:
    """What the model said to one prompt, special tokens visible, and the verdict on it.

    Attributes:
        tokens: those that it was made of, up to where the verdict was certain.
        whole: false where it was not decoded to its end, because no further token could change the verdict.
    """

    text: str
    verdict: Verdict
    tokens: int = 0
    whole: bool = True

"""What a judge is: it says of a response whether it is a refusal; and the one of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self, cast

from heretic_tui.engine.metrics.base import Verdict
from heretic_tui.plugins import JUDGES, calling, method
from heretic_tui.settings.schema import Settings


class Judge(Protocol):
    """Says of responses, special tokens visible, whether they are refusals.

    Attributes:
        judged: what a refused response does, such as "contain a refusal marker": in a sentence after "responses that".
    """

    judged: str

    @classmethod
    def made(cls, settings: Settings, special_tokens: Sequence[str]) -> Self:
        """A judge with what the settings say.

        Args:
            special_tokens: of the model's tokenizer; they are no part of what is said.
        """
        ...

    def verdict(self, text: str) -> Verdict:
        """The verdict on a whole response."""
        ...

    def certain(self, text: str) -> bool:
        """Whether the beginning of a response makes it a refusal, whatever comes after it. False where only the whole
        response tells."""
        ...


def judge_named(name: str) -> type[Judge]:
    """The judge with a name, still to be made.

    Raises:
        UsageError: where there is none, or it is no judge.
    """
    return cast(type[Judge], method(JUDGES, name, Judge))


def judge_of(settings: Settings, special_tokens: Sequence[str]) -> Judge:
    """The judge that settings name, made.

    Raises:
        UsageError: where there is none, or it is no judge.
        HereticError: where it cannot be made.
    """
    with calling(JUDGES, settings.judge):
        return judge_named(settings.judge).made(settings, special_tokens)

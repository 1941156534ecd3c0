"""What a look at a model, at a prompt set or at a prompt brings before a run starts, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from heretic_tui.run.plan import Needs


@dataclass(frozen=True)
class ModelLook:
    """A model as far as its files tell.

    Attributes:
        problem: why no run can start with it; nothing else is known then.
        whole: whether all of its files are on this disk.
        stored: bytes of its weight files, or of its parameters in the dtype it names.
        needs: what it takes of memory.
        edited, found: matrices.
        rows: the matrices by kind, as lines.
        notes: what one should know about it.
    """

    problem: str | None = None
    whole: bool = True
    architecture: str = ""
    layers: int = 0
    hidden: int = 0
    parameters: int = 0
    stored: int = 0
    needs: Needs | None = None
    edited: int = 0
    found: int = 0
    rows: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetLook:
    """A prompt set by itself.

    Attributes:
        problem: why it cannot be read.
        prompts: how many there are; None for a data set of the Hub that nobody read yet.
        first: the first of them.
        notes: what one should know about it.
    """

    problem: str | None = None
    prompts: int | None = None
    first: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetsLook:
    """The sets beside each other, as far as they can be read.

    Attributes:
        problem: why no run can start with them, and the set to mend.
        kept: prompts of each set that are left.
        in_evaluation: how many of a direction set are left out because an evaluation set holds them too.
        twice: how many occur more than once (of a direction set they are left out).
        notes: what was left out, or looks wrong.
    """

    problem: tuple[str, str] | None = None
    kept: Mapping[str, int] | None = None
    in_evaluation: Mapping[str, int] | None = None
    twice: Mapping[str, int] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextLook:
    """A prompt set on its way to the model.

    Attributes:
        problem: why a prompt of it does not reach the model.
        longest, tokens: tokens of the longest prompt, and of all.
        notes: what one should know about it.
    """

    problem: str | None = None
    longest: int = 0
    tokens: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromptView:
    """One prompt as the model will see it.

    Attributes:
        number: its place in the set, from 0.
        count: prompts of the set.
        tokens: None where there is no tokenizer at hand.
        note: why the chat template is missing; empty where it is not.
    """

    text: str
    number: int
    count: int
    tokens: int | None = None
    note: str = ""


@dataclass(frozen=True)
class CheckLook:
    """A check of reviews as far as the settings tell.

    Attributes:
        chosen: whether the settings choose it.
        absent: why it would find nothing; empty where it would find something, as far as is known.
    """

    name: str
    title: str
    chosen: bool
    absent: str = ""

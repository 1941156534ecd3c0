"""Broken answers: what is wrong with a response as a text, whatever it says.

No model is asked. A response counts as broken where its words or signs leave little doubt: rather one too few than a
poem, a table or a program that is called broken. What code, tables and formulas hold is looked at with that in mind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from heretic_tui.engine.answers.garbage import garbage_in
from heretic_tui.engine.answers.languages import Languages
from heretic_tui.engine.answers.loops import loop_in
from heretic_tui.engine.answers.questions import question_in

Kind = Literal["loop", "empty", "garbage", "language", "question"]
# In the order in which they are looked for: a response is broken in the first way that holds.
KINDS: tuple[Kind, ...] = get_args(Kind)

# Signs that say nothing by themselves. Brackets and symbols are not among them: they can be an answer on code.
_NOTHING = frozenset(".…,;:!?-–—_*#`~'\"“”‘’·•。，、！？")
# What a sentence ends with, and what may follow it; a closed table or program has ended too.
_ENDS = frozenset(".!?…。！？؟।:;|}>」』”»")
_CLOSES = "\"'’)]*_`）】 \t\n"

# Prompts that want something said again and again, or letters and signs that are no words.
_WANTS_REPETITION = re.compile(
    r"\b(?:(?:\d+|two|three|four|five|ten|twenty|fifty|(?:a )?hundred|(?:a )?thousand|many) times|repeat\w*"
    r"|over and over|again and again)\b",
    re.IGNORECASE,
)
_WANTS_SIGNS = re.compile(
    r"\b(?:ciphers?|ciphertext|caesar|rot13|base64|gibberish|nonsense|regex\w*|regular expressions?|kaomojis?"
    r"|emoticons?|ascii)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Answer:
    """A response as a person reads it.

    Attributes:
        prompt: the person's words.
        text: without special tokens and without what the model only thought.
        ended: whether the model ended it. False where it was cut: at the limit of its length, or because its verdict
            was certain.
    """

    prompt: str
    text: str
    ended: bool


@dataclass(frozen=True)
class Broken:
    """What is wrong with a response, and how one sees that, in words for people (with text of the model in them)."""

    kind: Kind
    why: str


def what_is_broken(answer: Answer, languages: Languages | None = None) -> Broken | None:
    """What is wrong with a response; None where nothing is.

    Of one that was cut only what its further words would not have mended: it is not empty, and asks nothing back.

    Args:
        languages: None where no other language is looked for.
    """
    if found := broken_text(answer):
        return found
    if _says_nothing(answer.text):
        return None
    if languages and (why := languages.other_in(answer.prompt, answer.text)):
        return Broken("language", why)
    if answer.ended and (why := question_in(answer.prompt, answer.text)):
        return Broken("question", why)
    return None


def broken_text(answer: Answer) -> Broken | None:
    """Whether a response is no text at all: it repeats itself, says nothing, or is garbage; None where none of these.
    It takes no longer than a search has for it."""
    if not _WANTS_REPETITION.search(answer.prompt) and (why := loop_in(answer.text, answer.ended)):
        return Broken("loop", why)
    if _says_nothing(answer.text):
        return Broken("empty", "no words") if answer.ended else None
    if not _WANTS_SIGNS.search(answer.prompt) and (why := garbage_in(answer.text)):
        return Broken("garbage", why)
    return None


def is_cut(answer: Answer) -> bool:
    """Whether a response stops in the middle of a sentence because it was cut."""
    text = answer.text.rstrip(_CLOSES)
    return not answer.ended and bool(text) and text[-1] not in _ENDS


def _says_nothing(text: str) -> bool:
    return all(character in _NOTHING or character.isspace() or not character.isprintable() for character in text)

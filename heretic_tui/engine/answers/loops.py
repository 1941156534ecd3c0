"""Loops: whether a response says the same again and again.

Songs, poems, tables, code and lists repeat too, but end, or go on with something else; a model that is caught in a loop
goes on to the limit. So less is allowed of a response that was cut while it repeats than of one that came to its end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from heretic_tui.engine.answers.prose import has_letter, item_of, prose_of, tokens_of
from heretic_tui.words import quoted

# Words of what is repeated, at most: a paragraph.
_LONGEST = 80
# Less often than this nothing is a loop, whatever it is.
_FEWEST_TIMES = 5
# How often something of one word, of up to four, and of more is said in a row before that is a loop.
_TIMES_CUT = (10, 6, 5)
_TIMES_ENDED = (20, 10, 6)
# Tokens that a loop of words takes at least where it was cut.
_FEWEST_CUT = 20
# The share of a response that came to its end which a loop in it takes at least.
_SHARE_ENDED = 0.5
# Code repeats lines: only what fills a screen with one of them is a loop.
_TIMES_CODE, _FEWEST_CODE = 12, 100
# Signs alone: more than a ruler, and nearly all that is there. Numbers: more than a matrix of zeros, where it ended.
_FEWEST_SIGNS, _SHARE_SIGNS = 40, 0.85
_FEWEST_NUMBERS_CUT, _FEWEST_NUMBERS_ENDED = 60, 200
# Words without a gap, such as "hahaha": characters.
_LONG_WORD, _LONG = re.compile(r"(\w{1,8}?)\1{9,}"), 60
# Of a text that turns around without repeating word for word: the share of four words in a row that are new. Prose has
# more than 0.9, a song with its refrain 0.6.
_NEW_CUT, _NEW_ENDED = 0.45, 0.35
_FEWEST_WORDS = 80


def loop_in(text: str, ended: bool) -> str | None:
    """What is said again and again, in words for people; None where the response is no loop.

    Args:
        ended: whether the model ended the response; False where it was cut.
    """
    sentences = prose_of(text)
    prose = tokens_of(sentences)
    everything = prose if sentences == text else tokens_of(text)
    times = _TIMES_ENDED if ended else _TIMES_CUT
    in_prose = _repeats(prose)
    for unit, said, covered, at_end in in_prose:
        if not has_letter(unit):
            continue
        size = len(tokens_of(unit))
        enough = said >= times[0 if size == 1 else 1 if size <= 4 else 2]
        far = covered >= _SHARE_ENDED * len(everything) if ended or not at_end else covered >= _FEWEST_CUT
        if enough and (far or (size == 1 and at_end and not ended)):
            return _words(unit, said)
    for unit, said, covered, at_end in in_prose if prose == everything else _repeats(everything):
        if has_letter(unit):
            if not ended and at_end and said >= _TIMES_CODE and covered >= _FEWEST_CODE:
                return _words(unit, said)
            continue
        numbers = _FEWEST_NUMBERS_ENDED if ended else _FEWEST_NUMBERS_CUT
        fewest = numbers if any(character.isalnum() for character in unit) else _FEWEST_SIGNS
        if covered >= max(fewest, _SHARE_SIGNS * len(everything)):
            return _words(unit, said)
    for found in _LONG_WORD.finditer(text):
        if len(found[0]) >= _LONG and has_letter(found[1]):
            return _words(found[1], len(found[0]) // len(found[1]))
    # Numbers too: a plan for each day may differ in them alone.
    new_items = _without_items_again(sentences)
    words = [token for token in (prose if new_items == sentences else tokens_of(new_items)) if token[0].isalnum()]
    if len(words) >= _FEWEST_WORDS:
        fours = list(zip(words, words[1:], words[2:], words[3:], strict=False))
        new = len(set(fours)) / len(fours)
        if new < (_NEW_ENDED if ended else _NEW_CUT):
            return f"the same words again and again: {1 - new:.0%} of them were said before"
    return None


def _without_items_again(prose: str) -> str:
    """A text without the items of lists that stand in an earlier list too: those of a plan are the same each day. One
    that follows upon itself stays."""
    kept, seen, before = [], set[str](), None
    for line in prose.split("\n"):
        item = item_of(line)
        if item is None or item == before or item not in seen:
            kept.append(line)
        if item is not None:
            seen.add(item)
            before = item
    return "\n".join(kept)


def _repeats(tokens: Sequence[str]) -> list[tuple[str, int, int, bool]]:
    """What is said often enough in a row, the shortest unit first, and for each length of a unit the longest stretch
    and the last one: what it is, how often it is said, how many tokens that takes, and whether it goes on to the
    end."""
    numbers = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    ids = np.array([numbers[token] for token in tokens], dtype=np.int64)
    found = []
    for period in range(1, min(_LONGEST, len(ids) // _FEWEST_TIMES) + 1):
        fewest = (_FEWEST_TIMES - 1) * period
        same = ids[period:] == ids[:-period]
        # Of most lengths there are not even so many in all.
        if np.count_nonzero(same) < fewest:
            continue
        for start, length in _runs(same):
            if length >= fewest:
                covered = length + period
                # The last word may have been cut within.
                at_end = start + covered >= len(ids) - 1
                found.append((" ".join(tokens[start : start + period]), covered // period, covered, at_end))
    return found


def _runs(same: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where the longest run of True and the last one begin, and their lengths."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False])).astype(np.int8)))
    if not len(edges):
        return []
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    return [(int(starts[place]), int(lengths[place])) for place in {int(np.argmax(lengths)), len(lengths) - 1}]


def _words(unit: str, said: int) -> str:
    return f"{quoted(unit, 40)} {said} times in a row"

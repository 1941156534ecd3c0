"""Garbage: whether a response is made of signs, broken characters and things that are no words.

Each rule asks for much, since code, formulas, names, drawings and texts on languages look odd to a counter of letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

from heretic_tui.engine.answers.prose import has_letter, prose_of, without_code

_REPLACEMENT = "\ufffd"
# Control characters that are no blanks, and those that mean nothing to anybody else.
_ODD = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]")
_SIGN = re.compile(r"[^\w\s]|_")
# Characters that no text holds, from so many on.
_FEWEST_BROKEN = 3
# Words from which on a share of them says something, and words of a line that is more than names in a list.
_FEWEST_WORDS, _FEWEST_IN_LINE = 12, 4
# The share of words that can be none.
_NO_WORDS = 0.3
# The share of signs, how many characters there are then, and how many different signs: a drawing needs few.
_SIGNS, _FEWEST_CHARACTERS, _DIFFERENT_SIGNS = 0.8, 60, 12
# Words in two scripts at once, and neighbours in different ones with nothing but a blank between them. Latin names and
# terms stand in texts of all scripts: with these more is asked.
_FEWEST_MIXED, _SHARE_MIXED = 3, 0.02
_FEWEST_SWITCHES, _FEWEST_SCRIPTS = 4, 3
_FEWEST_WITH_LATIN, _SHARE_WITH_LATIN = 8, 0.5
_LONGEST_WORD = 40
# What the names of their letters begin with. Those of East Asia are written within one another; all else is Latin, or
# a sign of formulas.
_EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC"})
_OTHERS = frozenset(
    {"CYRILLIC", "GREEK", "ARABIC", "HEBREW", "ARMENIAN", "GEORGIAN", "ETHIOPIC", "DEVANAGARI", "BENGALI", "GURMUKHI"}
    | {"GUJARATI", "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA", "THAI", "LAO", "TIBETAN", "MYANMAR", "KHMER"}
)
_LATIN = "LATIN"
_WORD = re.compile(r"[^\W\d_]+")
_FORMULA = re.compile(r"(?:\d*[A-Z][a-z]?\d*)+")
_VOWELS = frozenset("aeiouyæøœıə")
# What is one sound, in German and Polish too. Without these hardly a word has six consonants in a row.
_ONE_SOUND = re.compile(r"tsch|sch|ch|th|ph|sh|ng|ck|cz|sz|rz|dz")
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{6}|(.)\1{3}")


def garbage_in(text: str) -> str | None:
    """Why a response is garbage, in words for people; None where it is none."""
    rules: Sequence[Callable[[str], str | None]] = (_broken_characters, _too_many_signs, _mixed_scripts, _no_words)
    return next((found for rule in rules if (found := rule(text))), None)


def _broken_characters(text: str) -> str | None:
    # A character that was cut at the end of the response is one of these too.
    broken = text.rstrip(_REPLACEMENT).count(_REPLACEMENT)
    if broken >= max(_FEWEST_BROKEN, len(text) // 100):
        return f"{broken} characters that could not be decoded"
    odd = len(_ODD.findall(text))
    return f"{odd} characters that no text has" if odd >= max(_FEWEST_BROKEN, len(text) // 100) else None


def _too_many_signs(text: str) -> str | None:
    left = without_code(text)
    seen = len("".join(left.split()))
    signs = _SIGN.findall(left)
    if seen < _FEWEST_CHARACTERS or len(signs) < _SIGNS * seen:
        return None
    # Pictures (So) are words of a kind, and marks above letters are no signs.
    signs = [sign for sign in signs if unicodedata.category(sign)[0] in "PS" and unicodedata.category(sign) != "So"]
    if len(set(signs)) < _DIFFERENT_SIGNS or len(signs) < _SIGNS * seen:
        return None
    return f"{len(signs) / seen:.0%} of it are signs"


def _mixed_scripts(text: str) -> str | None:
    prose = prose_of(text)
    if prose.isascii():
        return None
    words = [(found, _script(found[0])) for found in _WORD.finditer(prose)]
    mixed = [found[0] for found, _ in words if not found[0].isascii() and _is_mixed(found[0])]
    if len(mixed) >= max(_FEWEST_MIXED, _SHARE_MIXED * len(words)):
        return f"{len(mixed)} words in two scripts at once, such as {mixed[0][:20]}"
    switches = [
        {first, second}
        for (one, first), (other, second) in pairwise(words)
        if first != second and prose[one.end() : other.start()].strip(" ") == ""
    ]
    scripts = {script for pair in switches for script in pair} - {_LATIN}
    without_latin = sum(_LATIN not in pair for pair in switches)
    if len(scripts) >= _FEWEST_SCRIPTS and (
        without_latin >= _FEWEST_SWITCHES
        or len(switches) >= max(_FEWEST_WITH_LATIN, _SHARE_WITH_LATIN * (len(words) - 1))
    ):
        return f"{len(scripts)} scripts mixed word by word"
    return None


def _no_words(text: str) -> str | None:
    lines = [line.split() for line in prose_of(text).split("\n")]
    words = [
        word
        for line in lines
        if len(line) >= _FEWEST_IN_LINE
        for word in line
        # Names and terms are counted up so.
        if has_letter(word) and not word.endswith((",", ";"))
    ]
    if len(words) < _FEWEST_WORDS:
        return None
    none = [word for word in words if _is_no_word(word)]
    if len(none) < _NO_WORDS * len(words):
        return None
    return f"{len(none) / len(words):.0%} of it are no words, such as {none[0][:20]}"


# Most words are those of the last response.
@lru_cache(maxsize=4096)
def _is_no_word(text: str) -> bool:
    """Whether letters cannot be a word of a language that is written in Latin letters. A text that is none of these
    (numbers, other scripts) is not judged."""
    word = text.strip("".join(sign for sign in text if not sign.isalnum()))
    if _script(word) != _LATIN:
        return False
    if len(word) > _LONGEST_WORD:
        return True
    parts = re.split(r"['’\-/–—.:_]", word)
    # f(x), a@b, x^2 and H2O are formulas and addresses.
    if any(not part.isalnum() for part in parts if part) or _FORMULA.fullmatch(word):
        return False
    # Numbers within: x2yz, but not 3rd.
    if re.search(r"[^\W\d_]\d+[^\W\d_]", word):
        return True
    for part in parts:
        # fooBar, but not McDonald, iPhone, LaTeX.
        if len(re.findall(r"[a-z][A-Z]", part)) >= 2:
            return True
        small = part.lower()
        if part.isupper() and len(part) <= 6:
            continue
        plain = unicodedata.normalize("NFD", small)
        if (len(part) >= 5 and part.isalpha() and _VOWELS.isdisjoint(plain)) or _CONSONANTS.search(
            _ONE_SOUND.sub("s", plain)
        ):
            return True
    return False


def _is_mixed(word: str) -> bool:
    """Whether a word has letters of two scripts that no language mixes. Latin names get endings of all scripts but
    Cyrillic, which has a hyphen before them."""
    others = {_script(letter) for letter in word} - {_LATIN}
    return len(others) > 1 or (others == {"CYRILLIC"} and any(_script(letter) == _LATIN for letter in word))


def _script(text: str) -> str:
    """The script of the first letter; what has none (², ½) goes with all of them, as Latin does."""
    if text.isascii():
        return _LATIN
    letter = next((character for character in text if character.isalpha()), None)
    name = unicodedata.name(letter, "").split(" ")[0] if letter else ""
    return "EAST ASIAN" if name in _EAST_ASIAN else name if name in _OTHERS else _LATIN

"""Languages: whether a response is in another language than its prompt. Needs lingua, of the extra `review`.

Languages are told by lingua's statistics of letters, which need a few sentences to be sure. Where they are not, and
where the prompt speaks of languages itself, nothing is said.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from heretic_tui.engine.answers.prose import prose_of
from heretic_tui.errors import UsageError

if TYPE_CHECKING:
    from lingua import Language

# Those of the marker lists, and others with many speakers; all that are written in scripts of their own are told by
# these. Of languages that can be read as one another there is one.
_CODES = (
    "AR", "BG", "CS", "DA", "DE", "EL", "EN", "ES", "FA", "FI", "FR", "HE", "HI", "HU", "ID",
    "IT", "JA", "KO", "NL", "PL", "PT", "RO", "RU", "SV", "TH", "TR", "UK", "VI", "ZH",
)  # fmt: skip
# Taken for one another in short texts.
_NEAR = (frozenset({"RU", "UK", "BG"}), frozenset({"ES", "PT", "IT"}), frozenset({"DA", "SV"}), frozenset({"AR", "FA"}))
# How sure it has to be of the language of a part of the response.
_SURE_PART = 0.95
# One sentence leaves doubt among so many languages. Of a prompt it is enough that one stands out, and that the
# response's is so much less likely than that one.
_SURE_PROMPT, _UNLIKELY = 0.3, 0.08
# Letters that this takes, and those of a part; a character of Chinese, Japanese or Korean is worth three.
_FEWEST_PROMPT, _FEWEST_PART, _PART = 20, 60, 200
_WORTH = 3
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
# The share of a response that is in another language.
_SHARE = 0.4
# Prompts that want another language, or hold a text in one.
_SPEAKS_OF_LANGUAGES = re.compile(
    r"\b(?:translat\w*|languages?|bilingual|multilingual|accent|poem|lyrics|song|quote"
    r"|english|german|french|spanish|italian|portuguese|chinese|mandarin|cantonese|japanese|korean|russian|arabic|latin"
    r"|dutch|polish|turkish|swedish|danish|norwegian|finnish|greek|hindi|vietnamese|indonesian|thai|hebrew|persian|farsi"
    r"|ukrainian|bulgarian|czech|hungarian|romanian|swahili|catalan|irish|welsh|sanskrit|esperanto"
    r"|übersetz\w*|sprachen?|deutsch\w*|englisch\w*|französisch\w*|spanisch\w*|italienisch\w*|russisch\w*"
    r"|tradui\w*|langues?|anglais\w*|allemand\w*|français\w*|espagnol\w*|italien\w*|chinois\w*|russe"
    r"|tradu[czs]\w*|idiomas?|inglés|alemán|francés|español|inglese|tedesco|francese|spagnolo|lingua|inglês|alemão"
    r"|перев\w*|язык\w*|\w*английск\w*|\w*немецк\w*|\w*французск\w*|\w*русск\w*)\b"
    r"|翻译|翻譯|英文|英语|英語|中文|汉语|法语|德语|日语|日文|翻訳|日本語|フランス語|번역|영어|한국어|일본어|중국어|ترجم|اللغة|بالإنجليزية",
    re.IGNORECASE,
)


class Languages:
    """Tells languages. Made once: its statistics are read when they are first needed.

    Raises:
        UsageError: without the package.
    """

    def __init__(self) -> None:
        try:
            from lingua import IsoCode639_1, LanguageDetectorBuilder
        except ImportError as error:
            raise UsageError(
                "responses in another language are not looked for without lingua: pip install 'heretic-tui[review]'"
            ) from error
        codes = [getattr(IsoCode639_1, code) for code in _CODES]
        self._detector = LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()

    def other_in(self, prompt: str, text: str) -> str | None:
        """The languages of prompt and response in words for people; None where both are in the same, or where that
        cannot be told."""
        if _SPEAKS_OF_LANGUAGES.search(prompt):
            return None
        asked = self._likely(prompt, _FEWEST_PROMPT)
        first = max(asked, key=lambda language: asked[language], default=None)
        if first is None or asked[first] < _SURE_PROMPT:
            return None
        letters: Counter[Language | None] = Counter()
        for part in _parts(prose_of(text)):
            letters[self._language(part)] += _letters(part)
        others = {
            language: count
            for language, count in letters.items()
            if language and not _near(language, first) and asked[language] <= _UNLIKELY * asked[first]
        }
        if not others or sum(others.values()) < _SHARE * letters.total():
            return None
        most = max(others, key=lambda language: others[language])
        return f"{_name(most)}, to a prompt in {_name(first)}"

    def _likely(self, text: str, fewest: int) -> dict[Language, float]:
        """How likely a text is in each language; empty where it has fewer letters than that."""
        if _letters(text) < fewest:
            return {}
        return {found.language: found.value for found in self._detector.compute_language_confidence_values(text)}

    def _language(self, part: str) -> Language | None:
        return next((found for found, sure in self._likely(part, _FEWEST_PART).items() if sure >= _SURE_PART), None)


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text)) + (_WORTH - 1) * len(_UNSPACED.findall(text))


def _parts(text: str) -> list[str]:
    """A text in parts of about `_PART` letters, cut at blanks where there are any."""
    parts, size = [""], 0
    for word in re.findall(rf"\S{{1,{_PART // _WORTH}}}\s*", text):
        letters = _letters(word)
        if size and size + letters > _PART:
            parts.append("")
            size = 0
        parts[-1] += word
        size += letters
    # A short rest belongs to what stands before it.
    if len(parts) > 1 and size < _FEWEST_PART:
        parts[-2:] = ["".join(parts[-2:])]
    return parts


def _near(one: Language, other: Language) -> bool:
    codes = {one.iso_code_639_1.name, other.iso_code_639_1.name}
    return len(codes) == 1 or any(codes <= near for near in _NEAR)


def _name(language: Language) -> str:
    return language.name.capitalize()

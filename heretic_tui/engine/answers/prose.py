"""The parts of a response that are sentences: without code, formulas, tables, rows of data and addresses, in which
repetition, signs and foreign words are no fault. And its words, in scripts that set no spaces too."""

from __future__ import annotations

import re
from functools import lru_cache

# Code between fences, closed or not; formulas; code in a line; addresses; tags.
_NO_PROSE = re.compile(
    r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|\$\$.*?(?:\$\$|\Z)|\\\[.*?(?:\\\]|\Z)|\\\([^\n]{0,400}?\\\)"
    r"|\$(?!\s)[^$\n\\^_={}]*[\\^_={}][^$\n]*\$|`[^`\n]+`|https?://\S+|</?[a-zA-Z][^<>\n]*>",
    re.DOTALL,
)
_LIST_ITEM = re.compile(r"\s*(?:[-*+•]|\d+[.)]|[a-zA-Z][.)])\s+")
_CODE_LINE = re.compile(
    r"[;{}]\s*$|^\s*(?://|#include|#!|\$ |>>> |import \w|from \w+ import|def \w|class \w+[:(]"
    r"|(?:return|assert)\b.*[()=;]|(?:if|for|while)\s?\(|(?:const|let|var|int|float|double|void)\s\w+|(?:print|console\.log|printf)\(|@\w+$"
    r"|(?:SELECT|INSERT|UPDATE|DELETE|FROM|WHERE)\s)|^\s*[\w.\[\]]+\s*[-+*/]?=\s*\S"
)
# Scripts without spaces between words: each character is as much as a word.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # kana, Chinese characters
)
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+(?:['’][^\W{_UNSPACED}]+)*|[^\w\s]")


# Several rules look at one text, one after the other.
@lru_cache(maxsize=4)
def prose_of(text: str) -> str:
    """The lines of a text that are sentences, titles or items of a list, without what in them is code."""
    return "\n".join(line for line in without_code(text).split("\n") if _is_prose(line))


@lru_cache(maxsize=4)
def without_code(text: str) -> str:
    """A text without what is marked as code, as a formula or as an address."""
    return _NO_PROSE.sub(" ", text)


def item_of(line: str) -> str | None:
    """What an item of a list says, without its number or sign; None for a line that is none."""
    marker = _LIST_ITEM.match(line)
    return line[marker.end() :] if marker else None


def tokens_of(text: str) -> list[str]:
    """Words and signs in lower case; where a script sets no spaces, characters."""
    return _TOKEN.findall(text.lower())


def has_letter(text: str) -> bool:
    """Whether a text holds a letter of any script."""
    return text.isalpha() or any(map(str.isalpha, text))


def words_of(text: str) -> list[str]:
    """The tokens that hold a letter."""
    return [token for token in tokens_of(text) if has_letter(token)]


def _is_prose(line: str) -> bool:
    if line.startswith(("    ", "\t")) and not _LIST_ITEM.match(line):
        return False
    return not (_CODE_LINE.search(line) or _is_row(line))


def _is_row(line: str) -> bool:
    """Whether a line is one of a table or of data: short fields between the same sign, or nothing but signs."""
    if not has_letter(line):
        return True
    if line.lstrip().startswith("|") or line.count(" | ") >= 2:
        return True
    # A sentence has blanks behind its commas.
    fields = re.split(r"[,;\t](?=\S)|\t", line.strip())
    return len(fields) >= 4 and all(len(field.split()) <= 3 for field in fields)

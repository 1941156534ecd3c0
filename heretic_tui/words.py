"""Words and figures for people: durations, sizes, and text without control characters."""

from __future__ import annotations

import difflib
import json
import re
import reprlib
import unicodedata
from collections.abc import Iterable


def duration(seconds: float) -> str:
    """9.4 s, 1:05, 2:03:04."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def quantity(number: float) -> str:
    """135 M, 8.03 G, 2,100."""
    for limit, letter in ((1e9, "G"), (1e6, "M")):
        if number >= limit:
            return f"{number / limit:.3g} {letter}"
    return f"{number:,.0f}"


def bits_of(quantization: str) -> int:
    """Bits of a weight, by the setting `quantization`; 16 where they are whole."""
    found = re.search(r"(\d+)bit", quantization)
    return int(found[1]) if found else 16


def done_of(done: int, planned: int) -> str:
    """31 of 60 done; 118 done, 60 planned where there are more than that."""
    return f"{done} of {planned} done" if done <= planned else f"{done} done, {planned} planned"


def of_trial(number: int | None) -> str:
    """Whose something is, as a sentence has it: trial 41; the original model for None."""
    return "the original model" if number is None else f"trial {number}"


def ranges(numbers: Iterable[int]) -> str:
    """2, 3, 4, 7 as "2-4, 7"."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in spans)


def plain(text: str) -> str:
    """Text with control and formatting characters made visible, so that no prompt, model or file name can move the
    cursor, change colours or hide something."""
    if text.isprintable():
        return text
    # As Python escapes: \x1b, \u202e, \n.
    return "".join(c.encode("unicode_escape").decode() if _steers(c) else c for c in text)


def to_json(value: object, indent: int | None = None) -> str:
    """JSON that can be printed: what `plain` makes visible is escaped, and read back as it was."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if text.isprintable():
        return text
    # Line ends are those of the indentation: within strings they have been escaped.
    return "".join(json.dumps(c)[1:-1] if c != "\n" and _steers(c) else c for c in text)


def _steers(character: str) -> bool:
    """Control, format, surrogate, private or unassigned characters, and the separators of lines and paragraphs."""
    category = unicodedata.category(character)
    return category[0] == "C" or category in ("Zl", "Zp")


def doing(phase: str | None) -> str:
    """What a run does in a phase, as it follows "while"."""
    return _DOING.get(phase or "", "getting ready")


_DOING = {
    "load": "loading the model",
    "batch size": "trying batch sizes",
    "response prefix": "looking for the response prefix",
    "baseline": "measuring the original model",
    "residuals": "gathering residuals",
    "directions": "finding directions",
    "layers": "analysing the layers",
    "search": "searching",
    "ready": "waiting for commands",
}


def counted(number: int, thing: str, things: str | None = None) -> str:
    """1 prompt, 2 prompts, 1,000 prompts; `things` is the plural where it is not made with an s."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def quoted(value: object, length: int = 60) -> str:
    """A value as a message quotes it: like Python, but short, whatever it is, and without passwords."""
    if isinstance(value, str):
        text = repr(without_passwords(value if len(value) <= length else value[: length - 1] + "…"))
    elif isinstance(value, int) and value.bit_length() > 10_000:
        # Python refuses to write out integers of more than 4,300 digits.
        return f"a number of {value.bit_length() * 0.30103:,.0f} digits"
    else:
        try:
            text = without_passwords(_SHORT.repr(value))
        except ValueError:
            return f"a {type(value).__name__}"
    # With escapes it may be longer, but never so long that nobody finds what the message says beside it.
    longest = length * 4 // 3
    return text if len(text) <= longest else text[: longest - 1] + "…"


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 60, 60

# Bounded, so that a message of 100 kB takes no minutes.
_IN_USER = re.compile(r"(?<![\w+.-])(\w[\w+.-]{0,40}://[^\s:/@'\"]{0,200}):[^\s'\"]{0,500}@")
_IN_QUERY = re.compile(r"([?&][^=&\s]{0,60}(?:pass|pwd|token|secret|key)[^=&\s]{0,60}=)[^&\s'\"]+", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """Text in which the passwords of URLs are `***`: of `scheme://user:password@host`, and of `?password=…`."""
    return _IN_QUERY.sub(r"\1***", _IN_USER.sub(r"\1:***@", text))


def nearest(name: str, known: Iterable[str]) -> str:
    """`: did you mean 'x'?`, or nothing where no known name is near."""
    if len(name) > 100:
        return ""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else ""


def size_words(number: float) -> str:
    """1.2 GB, 340 MB."""
    for limit, unit in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        # 999.5 would be rounded to 1e+03.
        if number >= 0.9995 * limit:
            return f"{number / limit:.3g} {unit}"
    return f"{number / 1e3:.0f} kB"

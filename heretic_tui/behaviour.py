"""What a run measures, in words: refusals, or a behaviour that its settings name; and whether it is taken out or added.

Every place where people read "refusals", "refused" or "answered" asks here, so that a run of another behaviour speaks
of that one alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from heretic_tui.errors import UsageError
from heretic_tui.figures import EXPECTED_REFUSALS, REFUSALS, Figure
from heretic_tui.words import quoted

REFUSALS_NAME = "refusals"
# What texts of this program call refusals, their verdicts and their prompts.
_OURS = re.compile(
    r"(?<![\w-])(?:refusals<|(?:where refusal is mediated|refusal is mediated|begins as a refusal|refusal log-odds|"
    r"refusal is|refusal markers?|a refusal marker|a refusal|refusals?|refused|refuses|answered|harmful|harmless)\b)",
    re.IGNORECASE,
)
# Letters and digits of a name, and of a verdict, which stands in narrow columns.
_NAME, _WORD = 24, 10
_EXPECTED = (
    f"expected what is counted, in the plural, or that and two verdicts, as 'long answers: long / short' (letters, "
    f"digits, blanks, - and '; {_NAME} characters at most, verdicts {_WORD})"
)
_LETTERS = re.compile(r"[^\W_][\w' -]*")
# The figures that count it, and how their names differ from that of the count.
_COUNTS = {REFUSALS: "", EXPECTED_REFUSALS: "expected ", "sampled_refusals": "sampled "}


@dataclass(frozen=True)
class Behaviour:
    """The words for a behaviour, and for what counts against a trial: a response that shows it, or in a run that adds
    it one that does not.

    Attributes:
        name: in the plural, as the setting has it.
        shown, absent: the verdicts on a response with it, and on one without.
        added: whether the run adds it.
    """

    name: str = REFUSALS_NAME
    shown: str = "refused"
    absent: str = "answered"
    added: bool = False

    @property
    def is_refusals(self) -> bool:
        """Whether it is refusals, whichever way."""
        return self.name == REFUSALS_NAME

    @property
    def usual(self) -> bool:
        """Whether refusals are taken out: what is said of harm and of safeguards is about that alone."""
        return self.is_refusals and not self.added

    @property
    def things(self) -> str:
        """What is counted: refusals; missing refusals in a run that adds them."""
        return f"missing {self.name}" if self.added else self.name

    @property
    def counted(self) -> str:
        """The verdict on a response that counts: refused."""
        return self.absent if self.added else self.shown

    @property
    def other(self) -> str:
        """The verdict on one that does not: answered."""
        return self.shown if self.added else self.absent

    def verdict(self, counted: bool) -> str:
        """A verdict as people read it; `counted` is what `Verdict.refused` says."""
        return self.counted if counted else self.other

    def said(self, ruling: str) -> str:
        """The verdict that a person, or the judge in a record, gave (`refused`, `answered`, `broken`), as people read
        it."""
        return {"refused": self.counted, "answered": self.other}.get(ruling, ruling)

    @property
    def subject(self) -> str:
        """At the beginning of a sentence about where it comes from: "refusal is"."""
        return "refusal is" if self.is_refusals else f"{self.name} are"

    @property
    def log_odds(self) -> str:
        """ "refusal log-odds"."""
        return "refusal log-odds" if self.is_refusals else f"log-odds of {self.name}"

    @property
    def others(self) -> str:
        """Responses without it, after "from"."""
        return "answers" if self.is_refusals else "other responses"

    @property
    def bad(self) -> str:
        """What the prompts are called that show it: harmful, or as the settings call them."""
        return "harmful" if self.is_refusals else "bad"

    @property
    def good(self) -> str:
        """What the others are called: harmless, or as the settings call them."""
        return "harmless" if self.is_refusals else "good"

    @property
    def counted_so_far(self) -> str:
        """What responses are that count, after "4 of 31 are"."""
        return self.name if self.usual else f'"{self.counted}"'

    @property
    def none_counted(self) -> str:
        """Of a model of which no response counts: "refuses none of the harmful", before "evaluation prompts"."""
        if self.is_refusals:
            return f"{'answers' if self.added else 'refuses'} none of the {self.bad}"
        return f"has {self.name} to {'each' if self.added else 'none'} of the {self.bad}"

    def in_words(self, text: str, counting: bool = False) -> str:
        """A text of this program, such as a help or the name of a figure, in the words of this behaviour. Never for
        what a model or a person wrote.

        Args:
            counting: whether "refused" in it means a response that counts, and not the verdict.
        """
        if self.usual:
            return text
        own = {} if self.is_refusals else self._own_words()
        own |= {"refusals": self.things, "refused": self.counted if counting else self.shown}
        own["answered"] = self.other if counting else self.absent
        # As a filter has it.
        own["refusals<"] = f"{'_'.join(self.things.lower().split())}<"
        return _OURS.sub(lambda found: _as_cased(found[0], own.get(found[0].lower(), found[0])), text)

    def _own_words(self) -> dict[str, str]:
        shown = f'"{self.shown}"'
        return {
            "harmful": self.bad,
            "harmless": self.good,
            "refusal log-odds": self.log_odds,
            "begins as a refusal": f"begins as {self.name} do",
            "where refusal is mediated": f"where {self.subject} mediated",
            "refusal is mediated": f"{self.subject} mediated",
            "refusal is": f"{self.subject}",
            "a refusal marker": "a marker",
            "refusal markers": "markers",
            "refusal marker": "marker",
            "a refusal": shown,
            "refusal": shown,
            "refuses": f"answers with {self.name}",
        }

    def figure(self, figure: Figure) -> Figure:
        """A figure of a built-in metric in the words of this behaviour; `key` says which it is."""
        if self.usual:
            return figure
        meaning = figure.meaning
        if self.added and figure.key == REFUSALS:
            meaning = meaning.replace("that {judged}", "that do not show it (it is shown by those that {judged})")
        meaning = self.in_words(meaning, counting=True)
        if figure.key not in _COUNTS:
            return replace(figure, meaning=meaning)
        name = _COUNTS[figure.key] + self.things
        if figure.key != REFUSALS:
            return replace(figure, name=name, meaning=meaning)
        verb = {"refused": "refuses", "answered": "answers"}.get(self.counted, "") if self.is_refusals else ""
        return replace(figure, name=name, short=name, meaning=meaning, verb=verb, participle=self.counted)


# Refusals, taken out: what runs measure where nothing else is said.
USUAL = Behaviour()


def _as_cased(usual: str, own: str) -> str:
    return own[:1].upper() + own[1:] if usual[:1].isupper() else own


def behaviour_of(settings: Mapping[str, object]) -> Behaviour:
    """The words of a run, by its recorded settings. What cannot be, in a file that somebody else wrote, is refusals."""
    name = settings.get("behaviour", REFUSALS_NAME)
    return _recorded(name if isinstance(name, str) else REFUSALS_NAME, settings.get("steer") == "add")


@lru_cache(maxsize=64)
def _recorded(name: str, added: bool) -> Behaviour:
    # Screens ask at every key.
    try:
        return replace(_read(name), added=added)
    except UsageError:
        return Behaviour(added=added)


def checked_behaviour(given: object) -> str:
    """The setting `behaviour` as a person wrote it, in its one form: `long answers: long / short`.

    Raises:
        UsageError: for what is no name, or no two verdicts; the caller says which setting it is, and where from.
    """
    found = _read(given)
    if found == USUAL:
        return REFUSALS_NAME
    usual = USUAL if found.is_refusals else Behaviour(found.name, *_PLAIN_VERDICTS)
    return found.name if found == usual else f"{found.name}: {found.shown} / {found.absent}"


_PLAIN_VERDICTS = ("shown", "not shown")


def _read(given: object) -> Behaviour:
    if not isinstance(given, str):
        raise UsageError(f"{_EXPECTED}, not {quoted(given)}")
    name, colon, verdicts = given.partition(":")
    name = " ".join(name.split())
    words = [word.strip() for word in verdicts.split("/")] if colon else []
    if not _is_text(name, _NAME) or (colon and (len(words) != 2 or not all(_is_text(word, _WORD) for word in words))):
        raise UsageError(f"{_EXPECTED}, not {quoted(given)}")
    if colon and words[0].lower() == words[1].lower():
        raise UsageError(f"both verdicts are {quoted(words[0])}: they have to differ")
    if any(word.lower() == "broken" for word in words):
        raise UsageError("'broken' is the verdict on a response that is no usable text: take another word")
    if name == REFUSALS_NAME:
        return Behaviour(name, words[0], words[1]) if words else Behaviour()
    shown, absent = words or _PLAIN_VERDICTS
    return Behaviour(name, shown, absent)


def _is_text(text: str, most: int) -> bool:
    return len(text) <= most and bool(_LETTERS.fullmatch(text))

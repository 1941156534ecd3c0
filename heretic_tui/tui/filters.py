"""Which trials are shown, and in what order: words such as `kl<0.2 refusals<=5 front`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from heretic_tui.run.state import TrialRecord

Test = Callable[[TrialRecord, bool], bool]

_WORD = re.compile(r"(?P<name>[a-z#_]+)\s*(?P<sign><=|>=|=|<|>)\s*(?P<value>[0-9.eE+-]+)$")
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
}
_STATES = ("complete", "dominated", "running", "failed", "stopped")


def _direction(trial: TrialRecord) -> float | None:
    return trial.parameters.get("direction_index")


def _expected(trial: TrialRecord) -> float | None:
    return trial.expected_refusals


_FIGURES: dict[str, Callable[[TrialRecord], float | None]] = {
    "kl": lambda t: t.kl_divergence,
    "refusals": lambda t: t.refusals,
    "trial": lambda t: t.number,
    "layer": _direction,
    "seconds": lambda t: t.seconds,
}


def parse_filter(text: str) -> Test:
    """A test of a trial and whether it is on the front. Words are joined by and.

    Raises:
        ValueError: naming the word that means nothing.
    """
    tests: list[Test] = []
    for word in re.sub(r"\s*(<=|>=|=|<|>)\s*", r"\1", text.lower()).split():
        tests.append(_word(word))
    return lambda trial, front: all(test(trial, front) for test in tests)


def _word(word: str) -> Test:
    if word == "front":
        return lambda trial, front: front
    if word in _STATES:
        return lambda trial, front: trial.state == word
    if word == "per-layer":
        return lambda trial, front: bool(trial.parameters) and _direction(trial) is None
    found = _WORD.match(word)
    names = [name for name in _FIGURES if found and name.startswith(found["name"])]
    if not found or len(names) != 1:
        known = ", ".join([*(f"{name}<N" for name in _FIGURES), "front", "per-layer", *_STATES])
        raise ValueError(f"{word!r} is none of: {known}")
    name, sign = names[0], found["sign"]
    figure, compare = _FIGURES[name], _SIGNS[sign]
    try:
        value = float(found["value"])
    except ValueError:
        raise ValueError(f"{found['value']!r} is no number") from None

    def test(trial: TrialRecord, front: bool) -> bool:
        known = figure(trial)
        if name == "refusals" and sign.startswith(">") and trial.at_least is not None:
            # Of a dominated trial nothing else is certain.
            known = trial.at_least
        return known is not None and compare(known, value)

    return test


def ordered(trials: Sequence[TrialRecord], key: str, reverse: bool) -> list[TrialRecord]:
    """Trials by a column; what has no value there comes last either way. Dominated trials stand where their refusals
    are expected to be, which is what the table shows of them."""
    figure = _FIGURES.get(key, _FIGURES["trial"])
    if key == "refusals":
        figure = _expected
    known = [t for t in trials if figure(t) is not None]
    unknown = [t for t in trials if figure(t) is None]
    known.sort(key=lambda t: (figure(t), t.number), reverse=reverse)
    return [*known, *sorted(unknown, key=lambda t: t.number)]

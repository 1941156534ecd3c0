"""Which trials are shown, and in what order: words such as `kl<0.2 refusals<=5 front`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from heretic_tui.figures import Figure, in_tables
from heretic_tui.run.annotations import Annotations
from heretic_tui.run.trial_record import MEASURED_STATES, TrialRecord

Test = Callable[[TrialRecord, bool], bool]

_WORD = re.compile(r"(?P<name>[a-z#_][a-z0-9#_.-]*)\s*(?P<sign><=|>=|=|<|>)\s*(?P<value>[0-9.eE+-]+)$")
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
}
# What people say of trials: a word is a tag's, or part of a note.
_SAID = ("marked", "tag:WORD", "note:", "note:WORD", "overruled")
# Before the name of a direction method, or a part of it.
_METHOD = "method:"
_STATES = ("complete", "dominated", "decoded", "screened", "running", "failed", "stopped")


def _direction(trial: TrialRecord) -> float | None:
    return trial.parameters.direction_index if trial.parameters else None


def _method(trial: TrialRecord) -> str:
    """What found its directions, in a run with several methods."""
    return (trial.parameters.direction_method if trial.parameters else None) or ""


_NUMBERS: dict[str, Callable[[TrialRecord], float | None]] = {
    "trial": lambda t: t.number,
    "layer": _direction,
    "seconds": lambda t: t.seconds,
}


def sort_keys(figures: Sequence[Figure]) -> list[str]:
    """What trials can be ordered by, in the order of the columns."""
    return ["trial", *(figure.word for figure in in_tables(figures)), "layer", "seconds"]


def filter_example(figures: Sequence[Figure]) -> str:
    """Words as they may be typed."""
    values = ("5" if figure.counted else "0.2" for figure in figures[:2])
    words = (f"{f.word}<{'=' if f.counted else ''}{value}" for f, value in zip(figures, values, strict=False))
    return " ".join([*words, "front"])


def parse_filter(text: str, figures: Sequence[Figure], annotations: Annotations | None = None) -> Test:
    """A test of a trial and whether it is on the front. Words are joined by and.

    Args:
        figures: those of the run, which can be named by their short names and their keys.
        annotations: what people say of its trials.

    Raises:
        ValueError: naming the word that means nothing.
    """
    tests: list[Test] = []
    for word in re.sub(r"\s*(<=|>=|=|<|>)\s*", r"\1", text.lower()).split():
        tests.append(_said(word, annotations or Annotations()) or _word(word, figures))
    return lambda trial, front: all(test(trial, front) for test in tests)


def _said(word: str, annotations: Annotations) -> Test | None:
    """A test of what people say of a trial; None for other words."""
    if word == "marked":
        return lambda trial, front: annotations.marked(trial.number)
    if word == "overruled":
        return lambda trial, front: trial.correction is not None
    name, sign, wanted = word.partition(":")
    if not sign or name not in ("tag", "note"):
        return None
    if name == "note":
        return lambda trial, front: bool(note := annotations.note(trial.number)) and wanted in note.lower()
    return lambda trial, front: any(tag == wanted or not wanted for tag in annotations.tags(trial.number))


def _word(word: str, figures: Sequence[Figure]) -> Test:
    if word == "front":
        return lambda trial, front: front
    if word in _STATES:
        return lambda trial, front: _is(trial, word)
    if word == "per-layer":
        return lambda trial, front: trial.parameters is not None and _direction(trial) is None
    if word.startswith(_METHOD):
        wanted = word.removeprefix(_METHOD)
        return lambda trial, front: bool(wanted) and wanted in _method(trial)
    found = _WORD.match(word)
    named = {name: figure for figure in figures for name in (figure.key, figure.word)}
    whole = {found["name"]} & {*named, *_NUMBERS} if found else set()
    names = whole or {name for name in (*named, *_NUMBERS) if found and name.startswith(found["name"])}
    meant = {named[name].key if name in named else name for name in names}
    if not found or len(meant) != 1:
        every = [*(figure.word for figure in figures), *_NUMBERS]
        known = ", ".join([*(f"{name}<N" for name in every), "front", "per-layer", f"{_METHOD}NAME", *_SAID, *_STATES])
        raise ValueError(f"{word!r} is none of: {known}")
    (key,), sign = meant, found["sign"]
    compare = _SIGNS[sign]
    try:
        value = float(found["value"])
    except ValueError:
        raise ValueError(f"{found['value']!r} is no number") from None

    def test(trial: TrialRecord, front: bool) -> bool:
        known = _NUMBERS[key](trial) if key in _NUMBERS else trial.figures.get(key)
        if known is None and sign.startswith(">"):
            # Of a dominated trial nothing else is certain; an estimate is not.
            known = trial.at_least.get(key)
        return known is not None and compare(known, value)

    return test


def _is(trial: TrialRecord, state: str) -> bool:
    """Whether a word for a state fits a trial."""
    match state:
        case "decoded":
            return trial.state in MEASURED_STATES
        case "running":
            return trial.runs
    return trial.state == state and (state != "screened" or not trial.runs)


Key = tuple[bool, float, int]


def sort_key(by: str, figures: Sequence[Figure], reverse: bool) -> Callable[[TrialRecord], Key]:
    """What orders trials by a column, one of `sort_keys`; what has no value there comes last either way. Dominated and
    screened trials are ordered by the figures that are expected of them, which the table shows."""
    keys, sign = {figure.word: figure.key for figure in figures}, -1 if reverse else 1

    def key(trial: TrialRecord) -> Key:
        value = trial.expected(keys[by]) if by in keys else _NUMBERS.get(by, _NUMBERS["trial"])(trial)
        return (True, 0.0, trial.number) if value is None else (False, sign * value, sign * trial.number)

    return key

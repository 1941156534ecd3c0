"""What people say of trials, as text: marks, tags and notes in a line, and what their verdicts change."""

from __future__ import annotations

from collections.abc import Sequence

from heretic_tui.events import BaselineMeasured
from heretic_tui.figures import REFUSALS, Figure
from heretic_tui.run.annotations import Annotations
from heretic_tui.run.trial_record import Correction, TrialRecord
from heretic_tui.words import counted

MARK, OVERRULED = "★", "✎"
# Characters of a note's first line.
_LONGEST = 60


def said_of(annotations: Annotations, trial: int) -> str:
    """Tags and the first line of the note of a trial, such as `#mild keeps style`; empty where there are none."""
    line = annotations.first_line(trial)
    short = line if len(line) <= _LONGEST else line[: _LONGEST - 1].rstrip() + "…"
    return " ".join([*(f"#{tag}" for tag in annotations.tags(trial)), *([short] if short else [])])


def annotation_lines(annotations: Annotations) -> list[str]:
    """A line for each trial that something is said of: the mark, its number, and what is said."""
    return [
        f"{MARK if annotations.marked(trial) else ' '} {trial:>5}  {said_of(annotations, trial)}".rstrip()
        for trial in annotations.trials
    ]


def overruled_words(trial: TrialRecord, figures: Sequence[Figure]) -> str:
    """How people's verdicts changed the count of a trial, such as `2 verdicts overruled: 3/100, measured 5/100`; empty
    where they changed none."""
    if trial.correction is None or REFUSALS not in {figure.key for figure in figures}:
        return ""
    now = trial.figures.get(REFUSALS, trial.at_least.get(REFUSALS))
    least = "" if REFUSALS in trial.figures else "at least "
    return _counts(trial.correction, now, trial.as_measured(REFUSALS), trial.prompts, least)


def base_overruled_words(base: BaselineMeasured | None, correction: Correction | None) -> str:
    """The same of the original model."""
    if base is None or correction is None:
        return ""
    now = base.figures.get(REFUSALS)
    return _counts(correction, now, None if now is None else now - correction.change, base.prompts)


def _counts(
    correction: Correction, now: float | None, measured: float | None, prompts: int | None, least: str = ""
) -> str:
    of = "" if prompts is None else f"/{prompts}"
    broken = f" ({correction.broken} broken)" if correction.broken else ""
    return f"{counted(correction.overruled, 'verdict')} overruled{broken}: {least}{now}{of}, measured {measured}{of}"

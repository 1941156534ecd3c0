"""Answers of a run's models that were decoded to their end on request, as the run folder keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from heretic_tui.errors import HereticError
from heretic_tui.files import read_json, write_json
from heretic_tui.records import Misfit, as_json, read
from heretic_tui.run.folder import RunFolder
from heretic_tui.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class FullAnswer:
    """What a model says to one evaluation prompt, decoded to its end or to a limit.

    Attributes:
        number: place of the prompt in its set, from 0.
        ended: end (the model ended it) or length (it was cut at `limit` tokens).
        verdict: of the run's judge on the whole text; None where it failed.
        same: whether it begins with the response that was measured, as far as that was decoded. It should: other
            batches round otherwise, and two tokens may be equally likely to the last digit. None where nothing was
            measured on this prompt.
    """

    number: int
    prompt: str
    text: str
    tokens: int
    ended: str
    limit: int
    verdict: Verdict | None = None
    same: bool | None = None


def read_full_answers(folder: RunFolder, trial: int | None, harmless: bool) -> dict[int, FullAnswer]:
    """Those of a trial, or of the original model for None, by the place of the prompt; none where the file is damaged:
    what is asked for again is decoded again."""
    try:
        found = read(list[FullAnswer], read_json(folder.full_answers(trial, harmless)))
    except (FileNotFoundError, HereticError, Misfit):
        return {}
    return {answer.number: answer for answer in found}


def keep_full_answers(folder: RunFolder, trial: int | None, harmless: bool, answers: Mapping[int, FullAnswer]) -> None:
    """Write all answers of a model to one set.

    Raises:
        HereticError: when they cannot be written.
    """
    write_json(folder.full_answers(trial, harmless), as_json([answers[number] for number in sorted(answers)]))

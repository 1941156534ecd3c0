"""What a trial says to the harmful prompts, beside what the original model says: read from the run folder."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from heretic_tui.behaviour import Behaviour
from heretic_tui.errors import HereticError
from heretic_tui.run.annotations import Annotations
from heretic_tui.run.answers import Answer, read_answers
from heretic_tui.run.folder import RunFolder
from heretic_tui.tui.themes import Looks
from heretic_tui.words import plain

# Characters of a prompt, and of an answer, in the preview of answers.
_PROMPT, _ANSWER = 160, 320


@dataclass(frozen=True)
class Answers:
    """The verdicts on a trial's answers, people's before the judge's.

    Attributes:
        refused: places of the prompts that it refuses.
        still: of these, the ones that the original model refuses too.
        new: of these, the ones that the original model answers.
        records: its answers, one for each prompt.
        problem: why there are none.
    """

    refused: tuple[int, ...] = ()
    still: tuple[int, ...] = ()
    new: tuple[int, ...] = ()
    records: tuple[Answer, ...] = ()
    problem: str | None = None


def answers_of(folder: RunFolder, trial: int | None, annotations: Annotations) -> Answers:
    """The answers of a trial, or of the original model for None. Takes milliseconds: to be called on a thread."""
    try:
        base, own = (tuple(read_answers(folder, number).values()) for number in (None, trial))
    except FileNotFoundError:
        return Answers(problem="No answers are kept of this trial.")
    except HereticError as error:
        return Answers(problem=str(error))
    refused = [answer.number for answer in own if answer.said(annotations) == "refused"]
    before = {answer.number for answer in base if answer.said(annotations) == "refused"}
    return Answers(
        tuple(refused),
        tuple(place for place in refused if place in before),
        tuple(place for place in refused if place not in before),
        own,
    )


def prompts_listed(places: tuple[int, ...], most: int) -> str:
    """#17 #40 #88, and how many more there are."""
    shown = " ".join(f"#{place}" for place in places[:most])
    return f"{shown} and {len(places) - most} more" if len(places) > most else shown or "none"


def answers_text(answers: Answers, look: Looks, behaviour: Behaviour) -> Text:
    """The answers as a preview: those that refuse first, then the others."""
    if answers.problem:
        return Text(plain(answers.problem), look.dim)
    text = Text()
    refused = set(answers.refused)
    order = sorted(range(len(answers.records)), key=lambda place: (place not in refused, place))
    for place in order:
        record = answers.records[place]
        if not record.known:
            continue
        word, colour = behaviour.verdict(place in refused), look.bad if place in refused else look.good
        text.append(f"#{place} ", look.dim).append(f"{word}  ", colour)
        text.append(f"{_cut(record.prompt, _PROMPT)}\n", "bold")
        text.append(f"{_cut(record.text, _ANSWER) or '(empty)'}\n\n")
    text.rstrip()
    return text


def _cut(text: str, length: int) -> str:
    line = plain(" ".join(text.split()))
    return line if len(line) <= length else line[:length].rstrip() + "..."

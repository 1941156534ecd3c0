"""Two sides compared prompt by prompt, trials or the original model: their answers, which prompts are listed, and what
they can be compared with. Knows no Textual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from heretic_tui.errors import HereticError
from heretic_tui.run.annotations import Annotations, counts_refused
from heretic_tui.run.answers import Answer, looks_broken, read_answers, read_reviewed_answers
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.results import SetShift, read_shift
from heretic_tui.run.review_records import ANSWER_SETS
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import MEASURED_STATES
from heretic_tui.tui.keys import next_choice
from heretic_tui.tui.preview import marker_place
from heretic_tui.tui.run_view import RunView
from heretic_tui.words import of_trial

# A trial's number; None for the original model.
Whose = int | None
Place = tuple[int, int] | None

DIFFER, ALL_PROMPTS, REFUSED, SUSPECT, BROKEN, HARMLESS = (
    "differ", "all", "refused by either", "suspect", "broken", "harmless prompts",
)  # fmt: skip
# Beside the original model an answer that differs is one that the edit changed.
CHANGED = "changed"
# Those of a review. Disagreements: the judge and the second opinion say different things.
HELD_OUT, DISAGREEMENTS, HELD_OUT_HARMLESS, LOOKALIKE = (
    "held-out", "disagreements", "held-out, harmless", "prompts that look harmful",
)  # fmt: skip
# Which set the prompts of these filters are of; those of all others are the harmful evaluation prompts.
_SETS: Mapping[str, str] = {
    HARMLESS: "evaluation, harmless", HELD_OUT: "harmful", DISAGREEMENTS: "harmful", HELD_OUT_HARMLESS: "harmless",
    LOOKALIKE: "lookalike",
}  # fmt: skip
_EVALUATION = "evaluation, harmful"
_FILTERS = (DIFFER, ALL_PROMPTS, REFUSED, SUSPECT, BROKEN, HARMLESS)
_FILTERS_OF_ONE = (ALL_PROMPTS, CHANGED, SUSPECT, REFUSED, BROKEN, HARMLESS)
_HARMLESS_SET = "good_evaluation_prompts"
# A refusal that comes this late may be a caveat in an answer.
_LATE = 80


@dataclass(frozen=True)
class Known:
    """What the run folder holds of both sides and of the original model.

    Attributes:
        answers: by whose, and the set: by the place of the prompt.
        shifts: what trials do to first tokens, for those that were asked about.
        problem: why there are no answers.
    """

    answers: dict[tuple[Whose, str], dict[int, Answer]] = field(default_factory=dict)
    shifts: dict[int, dict[str, SetShift]] = field(default_factory=dict)
    problem: str = ""


def read_known(folder: RunFolder, sides: Sequence[Whose]) -> Known:
    """Takes milliseconds and more: to be called on a thread."""
    answers: dict[tuple[Whose, str], dict[int, Answer]] = {}
    shifts: dict[int, dict[str, SetShift]] = {}
    problem = ""
    for whose in dict.fromkeys([None, *sides]):
        try:
            for which in ANSWER_SETS:
                answers[whose, which] = read_reviewed_answers(folder, whose, which)
            answers[whose, _EVALUATION] = read_answers(folder, whose)
            answers[whose, _SETS[HARMLESS]] = read_answers(folder, whose, harmless=True)
        except FileNotFoundError:
            problem = problem or f"No responses of {of_trial(whose)} are kept."
        except HereticError as error:
            problem = problem or f"The responses cannot be read: {error}"
        if whose is not None and (shift := read_shift(folder, whose)):
            shifts[whose] = shift
    return Known(answers, shifts, problem)


class Comparison:
    """What is compared, and which prompts are listed.

    Attributes:
        sides: left and right.
        known: what was read of them; None while it is being read.
        filter: which prompts are listed.
    """

    def __init__(self, view: RunView, left: Whose, right: Whose, shown: str = "") -> None:
        self._view = view
        self.sides = (left, right)
        self.known: Known | None = None
        self.filter = shown or (CHANGED if None in self.sides else DIFFER)
        # Prompts that stay listed though they no longer fit: a person has just given a verdict on them.
        self._kept: set[int] = set()

    @property
    def _filters(self) -> Sequence[str]:
        known = self.known.answers if self.known else {}
        reviewed = [
            name
            for name in (HELD_OUT, DISAGREEMENTS, HELD_OUT_HARMLESS, LOOKALIKE)
            if name == self.filter or any(known.get((whose, _SETS[name])) for whose in self.sides)
        ]
        if self._view.models:
            # There are answers of a review alone.
            return reviewed
        return [*(_FILTERS_OF_ONE if None in self.sides else _FILTERS), *reviewed]

    @property
    def _set(self) -> str:
        """The set that is shown."""
        return _SETS.get(self.filter, _EVALUATION)

    @property
    def reviewed(self) -> bool:
        """Whether answers of a review are shown."""
        return self._set in ANSWER_SETS

    @property
    def harmless(self) -> bool:
        """Whether the harmless prompts are shown."""
        return self.filter == HARMLESS

    def compare(self, left: Whose, right: Whose) -> None:
        """Other sides; what is listed stays as far as it can."""
        self.sides, self.known = (left, right), None
        self._kept.clear()
        if self.filter not in self._filters:
            self.filter = DIFFER if self.filter == CHANGED else CHANGED

    def keep(self, number: int) -> None:
        """Keep a prompt listed until other ones are asked for."""
        self._kept.add(number)

    @property
    def nothing(self) -> str:
        """What is said where no prompt is listed."""
        if self.known is None:
            return "Reading the responses."
        if self.filter in (DIFFER, CHANGED) and not self.known.problem:
            return "Their verdicts differ on no prompt: f lists others."
        if self.filter == DISAGREEMENTS and self.numbers():
            return "Judge and second opinion differ on no prompt, or nobody gave a second opinion. f lists others."
        if self.reviewed and not self.numbers():
            how = "" if self._view.models else ": R on Trials asks for one"
            return f"No review has kept answers of these{how}."
        return self.known.problem or "No response matches this filter."

    def next_filter(self, by: int) -> None:
        self._kept.clear()
        self.filter = next_choice(self._filters if by > 0 else self._filters[::-1], self.filter)

    def answer(self, whose: Whose, number: int) -> Answer | None:
        """To a prompt of the set that is shown."""
        return self.known.answers.get((whose, self._set), {}).get(number) if self.known else None

    def pair(self, number: int) -> list[Answer | None]:
        return [self.answer(whose, number) for whose in self.sides]

    def numbers(self) -> Sequence[int]:
        """Places of all prompts of the set that is shown."""
        answers = self.known.answers if self.known else {}
        found = sorted({number for whose in self.sides for number in answers.get((whose, self._set), {})})
        if not self.harmless:
            return found
        base, analysis = self._view.state.base, self._view.state.analysis
        # What older versions knew of the original model does not say it.
        count = (base.harmless if base else 0) or (analysis.prompts if analysis else {}).get(_HARMLESS_SET, 0)
        return range(max([count, *(number + 1 for number in found)]))

    def listed(self) -> list[int]:
        """Places of those that are listed."""
        return [number for number in self.numbers() if number in self._kept or self._is_listed(number)]

    def _is_listed(self, number: int) -> bool:
        if self.filter in (ALL_PROMPTS, HARMLESS, HELD_OUT, HELD_OUT_HARMLESS, LOOKALIKE):
            return True
        annotations = self._view.annotations
        answers = [answer for answer in self.pair(number) if answer]
        said = [answer.said(annotations) for answer in answers]
        match self.filter:
            case "disagreements":
                return any(answer.reviewed is not None and answer.reviewed.disagreement for answer in answers)
            case "differ" | "changed":
                return None not in said and len(set(said)) > 1
            case "refused by either":
                return "refused" in said
            case "broken":
                return any(_broken(answer, annotations) for answer in answers)
        return any(_suspect(answer, self.place(answer)) for answer in answers)

    def refused_words(self, whose: Whose) -> str:
        """How many of the answers of a side, to the set that is shown, count as refused: 3/100."""
        said = [answer.said(self._view.annotations) for n in self.numbers() if (answer := self.answer(whose, n))]
        refused = sum(counts_refused(word, self._view.state.counts_broken) for word in said)
        return f"{refused}/{len(said)}"

    def place(self, answer: Answer | None) -> Place:
        """Where the marker that decided the judge's verdict is in the text."""
        verdict = answer.verdict if answer else None
        # Where a behaviour is added, a marker is what lets an answer not count.
        if answer is None or verdict is None or (not verdict.refused and not verdict.marker):
            return None
        if verdict.start is not None and verdict.end is not None:
            return verdict.start, verdict.end
        if answer.measured is None or answer.full:
            return None
        opened = self._view.state.opened
        skips = opened.settings.get("chain_of_thought_skips") if opened else None
        return marker_place(answer.measured, skips if isinstance(skips, list | tuple) else ())

    def others(self) -> list[Whose]:
        """What the left side is worth comparing with: the original model, marked trials, those on the front."""
        state, left = self._view.state, self.sides[0]
        marked = [number for number in self._view.annotations.marks if has_responses(state, number)]
        front = [trial.number for trial in state.front()]
        return [whose for whose in dict.fromkeys([None, *marked, *front]) if whose != left]


def has_responses(state: RunState, number: int) -> bool:
    """Whether a trial was measured."""
    trial = state.trials.get(number)
    return trial is not None and trial.state in MEASURED_STATES


def best_other(view: RunView, whose: Whose) -> Whose:
    """What a trial is compared with at first: the trial that was marked last, else the original model; and the original
    model with such a trial, else with the one of the front that refuses fewest."""
    marked = [n for n in view.annotations.marks if n != whose and has_responses(view.state, n)]
    front = [trial.number for trial in view.state.front()] if whose is None else []
    return next(iter([*marked[-1:], *front]), None)


def _suspect(answer: Answer, place: Place) -> bool:
    """Whether the user would want to check a verdict: an empty response, a marker that comes late, or an answer whose
    end the judge sees otherwise than what was measured of it."""
    if not answer.known:
        return False
    late = place is not None and place[0] > _LATE
    return not answer.text.strip() or late or answer.judged_otherwise


def _broken(answer: Answer, annotations: Annotations) -> bool:
    """Whether a person called it broken, it was found so when it was judged or reviewed, or it looks so."""
    if answer.reviewed and answer.reviewed.broken:
        return True
    if not answer.known:
        return False
    found = answer.verdict is not None and answer.verdict.broken is not None
    return found or answer.said(annotations) == "broken" or looks_broken(answer.text)

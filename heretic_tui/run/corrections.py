"""What overruled verdicts change: how many responses of each trial count as refused when what people said of them
counts in place of the judge's verdicts. What was measured stays as it is in the journal and in the study."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import read_json
from heretic_tui.run.annotations import Annotations, Ruling, counts_refused, digest
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.full_answers import read_full_answers
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import MEASURED_STATES, Correction

# The base model and trials, by number.
Whose = int | None


@dataclass(frozen=True)
class _Responses:
    """The responses of one model to the prompts of the run: of each text a short digest, and of those decoded to their
    end by place; the judge's verdicts, 0 answered, 1 refused, 2 none."""

    places: Mapping[str, tuple[int, ...]]
    texts: array[int]
    verdicts: bytes
    full: Mapping[int, int]


class Corrections:
    """The responses of a run, known by their digests (a tenth of their size), and what people's verdicts on them
    change. `read` takes some milliseconds a trial and can be called on a thread; the rest is quick."""

    def __init__(self, folder: RunFolder, annotations: Annotations) -> None:
        self._folder = folder
        self._annotations = annotations
        self._held: dict[Whose, _Responses] = {}
        # Nearly always the same prompts.
        self._places: tuple[tuple[str, ...], Mapping[str, tuple[int, ...]]] = ((), {})
        self._rulings, self._changes = _rulings(annotations), annotations.changes

    def read(self, whose: Whose) -> None:
        """Read the responses of a trial, or of the base model. Where there are none, or the file is damaged, nothing is
        corrected."""
        try:
            self._held[whose] = self._read(whose, read_json(self._folder.responses(whose)))
        except (FileNotFoundError, HereticError):
            self._held[whose] = _Responses({}, array("Q"), b"", {})

    def forget(self, whose: Whose) -> None:
        """It has other responses now."""
        self._held.pop(whose, None)

    def _read(self, whose: Whose, content: object) -> _Responses:
        """The responses in a file, checked as far as they are used: there may be hundreds of thousands of them."""
        if not isinstance(content, list):
            raise UsageError("it holds no responses")
        prompts, texts, verdicts = [], array("Q"), bytearray()
        for record in content:
            prompt, text, refused = (
                (record.get("prompt"), record.get("text"), record.get("refused")) if isinstance(record, dict) else _NONE
            )
            if not isinstance(prompt, str) or not isinstance(text, str) or not isinstance(refused, bool | None):
                raise UsageError("it holds no responses")
            prompts.append(prompt)
            texts.append(_short(digest(text)))
            verdicts.append(2 if refused is None else refused)
        full = {
            place: _short(digest(answer.text))
            for place, answer in read_full_answers(self._folder, whose, harmless=False).items()
            if place < len(prompts) and answer.prompt == prompts[place] and answer.same is not False
        }
        return _Responses(self._places_of(tuple(prompts)), texts, bytes(verdicts), full)

    def _places_of(self, prompts: tuple[str, ...]) -> Mapping[str, tuple[int, ...]]:
        known, places = self._places
        if prompts != known:
            found: dict[str, tuple[int, ...]] = {}
            for place, prompt in enumerate(prompts):
                key = digest(prompt)
                found[key] = (*found.get(key, ()), place)
            self._places, places = (prompts, found), found
        return places

    def of(self, whose: Whose, counts_broken: bool) -> Correction:
        """What people's verdicts, as they were at the last call of `touched`, change of a trial, or of the base model,
        whose responses were read.

        Args:
            counts_broken: whether a response that a person called broken counts as refused.
        """
        held = self._held.get(whose)
        if held is None:
            return Correction()
        change = overruled = broken = 0
        for prompt, given in self._rulings.items():
            for place in held.places.get(prompt, ()):
                ruling, judged = given.get(held.full.get(place, -1), given.get(held.texts[place])), held.verdicts[place]
                if ruling is None or judged == 2:
                    continue
                counted = counts_refused(ruling, counts_broken)
                change += counted - judged
                broken += ruling == "broken"
                overruled += ruling == "broken" or counted != judged
        return Correction(change, overruled, broken)

    def touched(self) -> set[Whose]:
        """Those on whose responses people gave other verdicts since the last call."""
        if self._changes == self._annotations.changes:
            return set()
        before, self._rulings = self._rulings, _rulings(self._annotations)
        self._changes = self._annotations.changes
        now = {(prompt, text): ruling for prompt, given in self._rulings.items() for text, ruling in given.items()}
        old = {(prompt, text): ruling for prompt, given in before.items() for text, ruling in given.items()}
        changed = (key for key in {*old, *now} if old.get(key) != now.get(key))
        return {whose for prompt, text in changed for whose in self._with(prompt, text)}

    def sharing(self, prompt: str, text: str) -> list[Whose]:
        """Those that gave this response to this prompt, both as digests."""
        return self._with(prompt, _short(text))

    def _with(self, prompt: str, text: int) -> list[Whose]:
        return [
            whose
            for whose, held in list(self._held.items())
            if any(
                text in (held.texts[place], held.full.get(place)) and held.verdicts[place] != 2
                for place in held.places.get(prompt, ())
            )
        ]


def _rulings(annotations: Annotations) -> dict[str, dict[int, Ruling]]:
    return {
        prompt: {_short(text): ruling for text, ruling in given.items()}
        for prompt, given in annotations.verdicts.items()
    }


_NONE: tuple[None, None, None] = (None, None, None)


def _short(key: str) -> int:
    """The first 64 bits of a digest: two of a run's texts do not share them."""
    return int(key[:16], 16)


def correct(state: RunState, folder: RunFolder, annotations: Annotations, trial: int | None = None) -> None:
    """Count the refused responses of a run's base model and trials as people have it. Reads their responses where
    people gave verdicts at all.

    Args:
        trial: the only one that is asked about.
    """
    if not annotations.verdicts:
        return
    found = Corrections(folder, annotations)
    measured = [each.number for each in state.trials.values() if each.state in MEASURED_STATES]
    corrected = (None, *(measured if trial is None else [trial]))
    for whose in corrected:
        found.read(whose)
    state.correct({whose: found.of(whose, state.counts_broken) for whose in corrected})

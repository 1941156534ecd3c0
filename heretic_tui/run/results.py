"""What the phases of a run wrote to its folder, read and checked: geometry, projections, first tokens, responses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.event_records import read_event
from heretic_tui.events import LayersAnalysed
from heretic_tui.files import read_json
from heretic_tui.records import Misfit, read
from heretic_tui.run.folder import RunFolder
from heretic_tui.verdict import Verdict

_FORMAT = 1


def read_geometry(folder: RunFolder) -> LayersAnalysed | None:
    """geometry.json; None where it is not there, or of another version.

    Raises:
        UsageError: when it is damaged.
    """
    path = folder.geometry
    try:
        folder.check(path)
        record = read_json(path)
    except FileNotFoundError:
        return None
    try:
        event = read_event(record) if isinstance(record, dict) else None
    except ValueError as error:
        raise UsageError(f"{path} is damaged ({error})") from error
    if not isinstance(event, LayersAnalysed):
        raise UsageError(f"{path} is damaged (it holds no analysis of layers)")
    return event if isinstance(record, dict) and record.get("format", _FORMAT) == _FORMAT else None


def geometry_record(found: LayersAnalysed) -> dict[str, object]:
    """The content of geometry.json: what was found, whenever that was."""
    record = found.to_json()
    del record["time"]
    return {"format": _FORMAT, **record}


@dataclass(frozen=True)
class Projections:
    """projections.json: the prompts of both sets on a plane, layer by layer.

    Attributes:
        good, bad: number of prompts in each set.
        views: by method: by residual index, prompts (the good ones first), and axis, from -1000 to 1000.
    """

    good: int
    bad: int
    views: Mapping[str, list[list[tuple[int, int]]]]


def read_projections(folder: RunFolder) -> Projections | None:
    """projections.json; None where it is not there or damaged."""
    try:
        found = read(Projections, read_json(folder.projections))
    except (FileNotFoundError, HereticError, Misfit):
        return None
    whole = all(len(plane) == found.good + found.bad for view in found.views.values() for plane in view)
    return found if whole and found.views else None


@dataclass(frozen=True)
class PromptShift:
    """What a trial does to the first token after one prompt: KL divergence in nats, and the tokens that gained or lost
    probability, with what it was before and after."""

    prompt: str
    kl_divergence: float
    gained: tuple[tuple[str, float, float], ...]
    lost: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class SetShift:
    """What a trial does to the first tokens after the prompts of a set: the mean KL divergence in nats, the tokens
    that gained or lost, with the change of their mean probability, and the prompts, those that moved most first."""

    kl_divergence: float
    gained: tuple[tuple[str, float], ...]
    lost: tuple[tuple[str, float], ...]
    prompts: tuple[PromptShift, ...]


def read_shift(folder: RunFolder, trial: int) -> dict[str, SetShift] | None:
    """What a trial does to first tokens, by the name of the set (engine/analysis/first_token_shift.py); None where
    they were not asked for yet or the file is damaged."""
    try:
        return read(dict[str, SetShift], read_json(folder.shift(trial))) or None
    except (FileNotFoundError, HereticError, Misfit):
        return None


@dataclass(frozen=True, kw_only=True)
class ResponseRecord:
    """What was said to one bad evaluation prompt, and the verdict on it.

    Attributes:
        refused: None without a verdict (the trial was dominated before this prompt was decided); there is no text then.
        marker: what decided it.
        start, end: where the marker is in the text; None where there is none, or an older version wrote this.
        tokens: how many the text was made of, up to where the verdict was certain; None where an older version wrote
            this.
        whole: false where it was not decoded to its end.
        broken: what is wrong with it as a text, where the judge found no refusal in it (verdict.py).
    """

    prompt: str
    text: str
    refused: bool | None
    marker: str | None
    start: int | None = None
    end: int | None = None
    tokens: int | None = None
    whole: bool = True
    broken: str | None = None

    @classmethod
    def judged(cls, prompt: str, text: str, verdict: Verdict, tokens: int, whole: bool) -> ResponseRecord:
        """A response on which there is a verdict."""
        return cls(
            prompt=prompt, text=text, refused=verdict.refused, marker=verdict.marker, start=verdict.start,
            end=verdict.end, tokens=tokens, whole=whole, broken=verdict.broken,
        )  # fmt: skip

    @property
    def verdict(self) -> Verdict | None:
        """None without a verdict."""
        if self.refused is None:
            return None
        return Verdict(self.refused, self.marker, self.start, self.end, self.broken)

    def to_json(self) -> dict[str, object]:
        known = {name: value for name, value in vars(self).items() if name != "broken" or value is not None}
        return {name: known[name] for name in known if self.refused is not None or name in _ALWAYS}


_ALWAYS = ("prompt", "text", "refused", "marker")


def read_responses(folder: RunFolder, trial: int | None) -> list[ResponseRecord]:
    """The records of a trial, or of the base model for None, one for each bad evaluation prompt.

    Raises:
        FileNotFoundError: when there are none.
        UsageError: when they cannot be read, or the file is damaged.
    """
    path = folder.responses(trial)
    if trial is None:
        folder.check(path)
    content = read_json(path)
    if not isinstance(content, list):
        raise UsageError(f"{path} is damaged (it holds no responses)")
    records = []
    for number, record in enumerate(content):
        try:
            records.append(read(ResponseRecord, record))
        except Misfit as misfit:
            raise UsageError(f"{path} is damaged ({misfit} in prompt {number})") from misfit
    return records

"""The record of an export, reproduce.json: what files were made from, what was measured of them, and all that it takes
to make them again. It may come from somebody else, so every field is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

from heretic_tui.errors import UsageError
from heretic_tui.figures import MOST_DIGITS, Figure, figures_of_before, values_of_before
from heretic_tui.files import read_json
from heretic_tui.records import Misfit, as_json, read
from heretic_tui.run.annotations import LONGEST_NOTE
from heretic_tui.run.record import MOST_ROUNDS, Reading, Round
from heretic_tui.words import quoted

ExportKind: TypeAlias = Literal["merged", "adapter"]

FORMAT = 3
# Versions before wrote these, without `figures`: KL divergence and refusals each in a field of its own.
_BEFORE = (1, 2)

# Characters in a text of a record; what is said of a figure or a failure may be longer, and a response prefix is the
# model's.
_LONGEST, _LONGEST_SENTENCE = 300, 1000
_SENTENCES = ("meaning", "not_measured", "approximate", "not_streamed", "written_as")
_UNBOUNDED = ("settings", "parameters", "response_prefix")
_LARGEST_COUNT = 2**31
_FILE_NAME = re.compile(r"[\w.-]{1,200}")


@dataclass(frozen=True, kw_only=True)
class MeasuredFigures:
    """Figures by key, and the number of bad evaluation prompts that they were measured on."""

    figures: dict[str, float]
    prompts: int | None


@dataclass(frozen=True, kw_only=True)
class TrialFigures(MeasuredFigures):
    """Those of a trial; `by_hand`: a person chose it, not the search; `origin`: from what file or run."""

    number: int
    by_hand: bool = False
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class ExportFigures:
    """What was measured of an export.

    Attributes:
        figures: what the figures are, the two objectives first.
        base, trial: those of the unedited model, and of the trial while its edit was attached.
        exported: those of the files, loaded again; None where they were not measured, which `not_measured` gives the
            reason for.
        approximate: why they need not be those of the trial; None where the files are exactly its edit, rounded to the
            dtype that they are written in.
    """

    figures: tuple[Figure, ...]
    base: MeasuredFigures
    trial: TrialFigures
    exported: MeasuredFigures | None = None
    not_measured: str | None = None
    approximate: str | None = None


@dataclass(frozen=True, kw_only=True)
class Overruled:
    """What a person made of the judge's verdicts. The figures of the record are those by the judge's verdicts alone.

    Attributes:
        trial, base: verdicts overruled on responses of the trial, and of the unedited model.
        broken: of those of the trial, responses that a person called no usable text.
        trial_refusals, base_refusals: how many responses are refused by the person's verdicts.
    """

    trial: int
    base: int
    broken: int
    trial_refusals: float
    base_refusals: float


@dataclass(frozen=True, kw_only=True)
class SearchSummary:
    """How a search that screened its trials came to its front.

    Attributes:
        screening: the setting.
        trials, decoded: how many had an end, and how many of them were decoded.
        estimated: how many of these were screened first.
        off, inside: how far the estimates of these were off in the mean, and the share within two standard errors, for
            the figure that tables show first; None where there are none.
    """

    screening: str
    trials: int
    decoded: int
    estimated: int = 0
    off: float | None = None
    inside: float | None = None


@dataclass(frozen=True, kw_only=True)
class ReviewedFigure:
    """One line of what a review found, as it is shown (run/review_records.py).

    Attributes:
        check: what the check is called.
        name: of the figure.
        base, trial: of the unedited model and of the trial, with their intervals.
        difference: between the two, in words: beyond chance or within it; empty where that is not known.
    """

    check: str
    name: str
    base: str
    trial: str
    difference: str = ""


@dataclass(frozen=True, kw_only=True)
class ExportRecord(ExportFigures):
    """Every field of reproduce.json that is read back.

    Attributes:
        model: folder or Hub id; of what lay on the machine of the export, the name alone.
        model_commit: of a model on the Hub.
        local: settings (`model`, prompt sets) whose value is such a name.
        settings: those that decide the files, as plain JSON, in the words of the version that wrote them.
        identity: of settings, model and prompts, to tell whether they are those of the export.
        clock: the time that the chat template was told; None where an older version wrote this.
        reading: how the prompts were read that the directions were made from; None where an older version wrote this,
            which read them in padded batches.
        loaded_as: the entry of the setting `dtypes` that the model was loaded with.
        parameters: as plain JSON (parameters.py).
        rank: directions of a layer, all of which the edit takes out; those of earlier rounds come on top.
        rounds: earlier rounds, the first one first: the files hold their edits too, and figures compare them with the
            model that had none.
        coverage: how many matrices can be edited, in words.
        edited: how many of them the edit changes; None where an older version wrote this.
        left_alone: layers that the mask of layers left alone.
        versions: of the libraries.
        files: SHA-256 of the weight files by name.
        note: what the person who exported it had noted of the trial; None where there is nothing.
        overruled: verdicts that the person overruled; None where there are none.
        search: None where no trial of the search was screened, or an older version wrote this.
        review: what a review of the trial found; None where there was none.
        streamed: whether merged weights were made from the source's files one matrix at a time, and what is not edited
            was copied; older versions always wrote them from the model in memory.
        not_streamed: why not; None for an adapter, and where an older version wrote this.
        requantized: whether edited matrices were quantised again, in the format of a source that is quantised.
        written_as: what became of that format, in sentences; None where the source is not quantised.
        fused_experts: whether an adapter holds experts that are one parameter, which few tools can use.
    """

    format: int = FORMAT
    model: str
    model_commit: str | None = None
    local: tuple[str, ...] = ()
    settings: dict[str, object]
    identity: dict[str, object]
    seed: int | None = None
    batch_size: int
    response_prefix: str
    clock: str | None = None
    reading: Reading | None = None
    dtype: str = ""
    loaded_as: str | None = None
    run: str = ""
    kind: ExportKind
    dora: bool
    parameters: dict[str, object]
    rank: int = 1
    rounds: tuple[Round, ...] = ()
    coverage: str = ""
    edited: int | None = None
    left_alone: tuple[int, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    files: dict[str, str]
    note: str | None = None
    overruled: Overruled | None = None
    search: SearchSummary | None = None
    review: tuple[ReviewedFigure, ...] | None = None
    streamed: bool = False
    not_streamed: str | None = None
    requantized: bool = False
    written_as: str | None = None
    fused_experts: bool = False

    def to_json(self) -> dict[str, object]:
        """The content of reproduce.json; what is not known is left out."""
        own = [each.name for each in fields(ExportRecord) if each.name not in _LAST]
        record = {name: as_json(getattr(self, name)) for name in (*own, *_LAST)}
        if not self.rounds:
            del record["rounds"]
        return {name: value for name, value in record.items() if value is not None or name not in _LEFT_OUT}


# In the file the figures come after what was measured.
_LAST = ("figures", "base", "trial", "versions", "files", "exported", "not_measured", "approximate")
_LEFT_OUT = (
    *("clock", "reading", "loaded_as", "exported", "not_measured", "approximate", "note", "overruled", "search"),
    *("review", "not_streamed", "written_as", "edited"),
)


def read_export(file: Path) -> ExportRecord:
    """The record of an export, checked field by field.

    Args:
        file: reproduce.json, or the folder that it lies in.

    Raises:
        UsageError: when it cannot be read, or is no such record.
    """
    path = file / "reproduce.json" if file.is_dir() else file
    try:
        content = read_json(path)
    except FileNotFoundError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if not isinstance(content, dict) or not {"format", "settings", "parameters"} <= set(content):
        raise UsageError(f"{path} is not a reproduce.json of heretic-tui")
    if content["format"] not in (*_BEFORE, FORMAT) or isinstance(content["format"], bool):
        raise UsageError(f"{path} has format {quoted(content['format'])}; this version reads the formats 1 to {FORMAT}")
    if content["format"] in _BEFORE:
        content = _by_name(content)
    try:
        record = read(ExportRecord, content)
        _check_bounds(record)
    except Misfit as misfit:
        place = quoted(misfit.place[:120])
        if misfit.missing:
            raise UsageError(f"{path} is damaged: {place} is missing") from None
        raise UsageError(f"{path} is damaged: {place} cannot be {quoted(misfit.value)}") from None
    return record


def _check_bounds(record: ExportRecord) -> None:
    """Check the sizes and forms of values whose types are right.

    Raises:
        Misfit: where something is not.
    """
    for name, value in record.to_json().items():
        if name not in (*_UNBOUNDED, "rounds"):
            _check_size(value, name)
    _check_identity(record.identity, "identity")
    _check_rounds(record.rounds)
    for name, size in (("batch_size", record.batch_size), ("rank", record.rank)):
        if not 1 <= size <= 100_000:
            raise Misfit(size, name)
    counts = {
        "seed": record.seed,
        "edited": record.edited,
        "base.prompts": record.base.prompts,
        "trial.prompts": record.trial.prompts,
        "trial.number": record.trial.number,
        "exported.prompts": record.exported.prompts if record.exported else None,
        **{f"left_alone[{number}]": layer for number, layer in enumerate(record.left_alone)},
    }
    for name, count in counts.items():
        if count is not None and not 0 <= count <= _LARGEST_COUNT:
            raise Misfit(count, name)
    for number, figure in enumerate(record.figures):
        if not 0 <= figure.digits <= MOST_DIGITS:
            raise Misfit(figure.digits, f"figures[{number}].digits")
    for name in record.files:
        if not _FILE_NAME.fullmatch(name):
            raise Misfit(name, "files")
    _check_clock(record.clock, "clock")


def _check_rounds(rounds: Sequence[Round]) -> None:
    if len(rounds) > MOST_ROUNDS:
        raise Misfit(len(rounds), "rounds")
    for number, earlier in enumerate(rounds):
        place = f"rounds[{number}]"
        for each in fields(earlier):
            if each.name not in _UNBOUNDED:
                _check_size(as_json(getattr(earlier, each.name)), f"{place}.{each.name}")
        _check_identity(earlier.identity, f"{place}.identity")
        _check_clock(earlier.clock, f"{place}.clock")
        counts = (("trial", earlier.trial, 0), ("batch_size", earlier.batch_size, 1), ("rank", earlier.rank, 1))
        for name, count, least in counts:
            if not least <= count <= (_LARGEST_COUNT if name == "trial" else 100_000):
                raise Misfit(count, f"{place}.{name}")


def _check_clock(clock: str | None, place: str) -> None:
    if clock is not None:
        try:
            datetime.fromisoformat(clock)
        except ValueError:
            raise Misfit(clock, place) from None


def _check_identity(identity: Mapping[str, object], name: str) -> None:
    for place in ("model", "prompts"):
        if not isinstance(identity.get(place), str):
            raise Misfit(identity.get(place), f"{name}.{place}", missing=place not in identity)
    if not isinstance(identity.get("settings"), dict):
        raise Misfit(identity.get("settings"), f"{name}.settings", missing="settings" not in identity)


def _check_size(value: object, place: str) -> None:
    """Check that no text in a value is too long."""
    longest = _LONGEST_SENTENCE if place.rpartition(".")[2] in _SENTENCES else _LONGEST
    longest = LONGEST_NOTE if place == "note" else longest
    if isinstance(value, str) and len(value) > longest:
        raise Misfit(value, place)
    if isinstance(value, list):
        for number, each in enumerate(value):
            _check_size(each, f"{place}[{number}]")
    if isinstance(value, dict):
        for key, each in value.items():
            _check_size(key, place)
            if place.rpartition(".")[2] != "identity" or key != "settings":
                _check_size(each, f"{place}.{key}"[:200])


def _by_name(content: Mapping[str, object]) -> dict[str, object]:
    """A record of an older format, with its figures by name."""
    settings = content["settings"]
    length = settings.get("max_response_length", 100) if isinstance(settings, dict) else 100
    found = {**content, "figures": as_json(figures_of_before(length))}
    for name in ("base", "trial", "exported"):
        if isinstance(part := content.get(name), dict):
            needed = ("refusals",) if name == "base" else ("refusals", "kl_divergence")
            if lacking := [key for key in needed if part.get(key) is None]:
                found[name] = {key: value for key, value in part.items() if key != lacking[0]}
                continue
            compared = {"kl_divergence": 0.0} if name == "base" else {}
            found[name] = {**part, "figures": {**compared, **values_of_before(part, *needed)}}
    return found


def beside(name: str, first: int, other: int) -> str:
    """A name for the export of another trial, made from the one that was given for the first: `qwen-t41` is `qwen-t73`,
    and `mine` is `mine-trial-73`."""
    head, found, tail = name.rpartition(str(first))
    alone = found and not head[-1:].isdigit() and not tail[:1].isdigit() and "/" not in tail
    return f"{head}{other}{tail}" if alone else f"{name}-trial-{other}"

"""What the engine reports: small frozen dataclasses made of plain JSON types."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar

from heretic_tui.figures import MOST_DIGITS, Figure
from heretic_tui.layer_figures import DirectionFigures, FirstTokens, Histogram, LayerFigures, MethodFigures
from heretic_tui.parameters import Parameters
from heretic_tui.records import as_json
from heretic_tui.verdict import Verdict

PHASES = ("load", "batch size", "response prefix", "baseline", "residuals", "directions", "search", "layers", "ready")
# In the order in which they are taken. Where the files cannot be measured two are left out; the last is asked for.
EXPORT_STEPS = ("edit", "write", "describe", "load", "measure", "upload")
# Directions of a layer: more than any run has.
_HIGHEST_RANK = 100_000


@dataclass(frozen=True, kw_only=True)
class Event:
    """One fact. `type` names it in the journal; high-rate kinds may be thinned out there, and what is not `kept` (what
    people say to a model) never gets there.

    Attributes:
        time: when it happened, seconds since 1970; it stays what it was when the event is read from a journal.
        past: it happened before the listener began to read, so it is no news.
    """

    type: ClassVar[str]
    high_rate: ClassVar[bool] = False
    kept: ClassVar[bool] = True
    time: float = field(default_factory=lambda: round(time.time(), 3), compare=False)
    past: bool = field(default=False, compare=False, metadata={"unwritten": True})

    def to_json(self) -> dict[str, object]:
        written = [each.name for each in fields(self) if not each.metadata.get("unwritten")]
        return {"time": self.time, "type": self.type, **{name: as_json(getattr(self, name)) for name in written}}

    def problem(self) -> str | None:
        """What of it cannot be, though each field is of its type; None where nothing is."""
        return None


@dataclass(frozen=True, kw_only=True)
class RunOpened(Event):
    """A session took hold of a run folder. `settings` is the whole configuration, as plain JSON; `figures` are those of
    its trials, the two objectives first (none in journals of older versions: figures_of_before)."""

    type = "run_opened"
    run: str
    folder: str
    model: str
    settings: dict[str, object]
    seed: int
    n_trials: int
    resumed: bool
    pid: int
    version: str
    figures: list[Figure] = field(default_factory=list)

    def problem(self) -> str | None:
        keys = {figure.key for figure in self.figures}
        if self.figures and not 1 < len(keys) == len(self.figures):
            return "'figures' lack objectives"
        wrong = next((figure for figure in self.figures if not 0 <= figure.digits <= MOST_DIGITS), None)
        return f"'figures' cannot have {wrong.digits} digits" if wrong else None


@dataclass(frozen=True, kw_only=True)
class PhaseStarted(Event):
    """`again` is true where the session goes back to a phase that was told before, when a model that was dropped has
    been loaded again: that is no news."""

    type = "phase_started"
    phase: str
    again: bool = False


@dataclass(frozen=True, kw_only=True)
class PhaseFinished(Event):
    """`reused` is true where the run folder held the result already."""

    type = "phase_finished"
    phase: str
    seconds: float
    reused: bool = False


@dataclass(frozen=True)
class Judged:
    """How far a trial in hand is: so many of its responses have a verdict, and so many of these are refusals."""

    trial: int
    refused: int
    judged: int


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """`done` of `total` steps of a stage within a phase; `seconds_left` is None while it cannot be told. `judged` are
    the trials in hand while their responses are decoded (none in journals of older versions)."""

    type = "progress"
    high_rate = True
    stage: str
    done: int
    total: int
    seconds_left: float | None = None
    judged: list[Judged] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Notice(Event):
    """Something the user should know; `level` is info, warning or error."""

    type = "notice"
    text: str
    level: str = "info"


@dataclass(frozen=True, kw_only=True)
class ModelLoaded(Event):
    """What was loaded.

    Attributes:
        thinking: whether the chat template knows `enable_thinking`.
        stored_as: the format of the files, where they are quantised; empty where they are not.
        stored_bytes: what the weights take in the files that they came from; 0 where that is not known.
    """

    type = "model_loaded"
    architecture: str
    layers: int
    hidden_size: int
    parameters: int
    weight_bytes: int
    dtype: str
    device: str
    quantization: str
    thinking: bool = False
    stored_as: str = ""
    stored_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Coverage(Event):
    """How many of the matrices that write to the residual stream can be edited, and what cannot, with the reason.
    `partly` says what keeps the edit of some from taking all of a direction out.

    Attributes:
        rank_one: numbers in a LoRA of rank 1 of all that can be edited; 0 where there can be none.
        exact_as: the adapter that holds an edit exactly, LoRA or DoRA; empty where none does, None where it was not
            told.
        no_adapter: why no adapter can hold an edit, not even nearly; empty where one can, and in older journals.
        fused: whether experts that are one parameter are edited, of which few tools read an adapter.
    """

    type = "coverage"
    editable: int
    found: int
    components: dict[str, int]
    missing: list[str] = field(default_factory=list)
    partly: list[str] = field(default_factory=list)
    rank_one: int = 0
    exact_as: str | None = None
    no_adapter: str = ""
    fused: bool = False


@dataclass(frozen=True, kw_only=True)
class BatchSizeChosen(Event):
    """`tokens_per_second` is None where the size was given, not measured; `remembered`: an earlier run of the model
    found it on this machine, and it was checked."""

    type = "batch_size_chosen"
    batch_size: int
    tokens_per_second: float | None
    remembered: bool = False


@dataclass(frozen=True, kw_only=True)
class ResponsePrefixFound(Event):
    """`source` says where the prefix came from: detected, given, or the chat template's own thinking opener."""

    type = "response_prefix_found"
    prefix: str
    source: str


@dataclass(frozen=True, kw_only=True)
class BaselineMeasured(Event):
    """The unedited model: its figures by key; `prompts` is the number of bad evaluation prompts, `harmless` that of the
    good ones (0 in journals of older versions)."""

    type = "baseline_measured"
    figures: dict[str, float]
    prompts: int
    harmless: int = 0


@dataclass(frozen=True, kw_only=True)
class StartMeasured(Event):
    """The edit that a search is on top of, measured in full, as trials are: in figures that compare it with the
    original model. `edit` names it: the trials of all earlier rounds; `rank`: how many directions of a layer it takes
    out, beside those of a trial."""

    type = "start_measured"
    edit: str
    figures: dict[str, float]
    prompts: int
    rank: int = 1


@dataclass(frozen=True, kw_only=True)
class DirectionsFound(Event):
    """Diagnostics of the directions, one entry per residual index (0 is the embedding output); `cosines` between them,
    (layers + 1, layers + 1). `rank`: how many directions a layer has; figures are of the leading one of them
    (engine/directions/subspaces.py). `method`: what found them, the first of the run's (empty in older journals);
    `ranks`: how many directions of a layer each of the run's methods found; `left_alone`: layers that the mask of
    layers leaves alone with them; `others`: of each further method of the run, as far as its figures differ."""

    type = "directions_found"
    layers: list[DirectionFigures]
    histograms: list[Histogram] = field(default_factory=list)
    cosines: list[list[float]] = field(default_factory=list)
    rank: int = 1
    method: str = ""
    ranks: dict[str, int] = field(default_factory=dict)
    left_alone: list[int] = field(default_factory=list)
    others: dict[str, MethodFigures] = field(default_factory=dict)

    def problem(self) -> str | None:
        if len(self.layers) < 2:
            return "'layers' are too few"
        if any(len(each.separations) != len(self.layers) for each in self.others.values()):
            return "'others' have other layers than 'layers'"
        if all(0 < rank <= _HIGHEST_RANK for rank in (self.rank, *self.ranks.values())):
            return None
        return "'rank' or 'ranks' hold what is no number of directions"


@dataclass(frozen=True, kw_only=True)
class LayersAnalysed(Event):
    """What the directions are, do and say; also the content of geometry.json.

    Attributes:
        layers: by residual index, with the directions of the run's first method.
        prompts: number of prompts in each set.
        refusal: first tokens of refusals; None where they were not looked for.
        notes: what could not be found out, and why.
        others: the same of each further direction method of the run, without what is of the prompts alone (geometry).
            Older versions wrote no effects there.
        other_notes: the notes of each of these.
        method: the first method; empty where an older version wrote this.
    """

    type = "layers_analysed"
    layers: list[LayerFigures]
    prompts: dict[str, int] = field(default_factory=dict)
    refusal: FirstTokens | None = None
    notes: list[str] = field(default_factory=list)
    others: dict[str, list[LayerFigures]] = field(default_factory=dict)
    other_notes: dict[str, list[str]] = field(default_factory=dict)
    method: str = ""

    def problem(self) -> str | None:
        if not self.layers:
            return "'layers' are empty"
        if any(len(rows) != len(self.layers) for rows in self.others.values()):
            return "'others' have other layers than 'layers'"
        if misplaced := [place for place, row in enumerate(self.layers) if row.index != place]:
            return f"row {misplaced[0]} of 'layers' is not that of index {misplaced[0]}"
        if len({row.separation is None for row in self.layers}) > 1:
            return "'auc' is not in all rows of 'layers'"
        return None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One figure of a run's plan beside what it came to; None is what is not known.

    Attributes:
        unit: s or bytes.
        at_most: whether it was planned to be no more than that.
    """

    name: str
    unit: str
    planned: float | None
    was: float | None
    at_most: bool = False


@dataclass(frozen=True, kw_only=True)
class RunTook(Event):
    """The search is done: what the run took so far beside its plan."""

    type = "run_took"
    rows: list[Compared]

    def problem(self) -> str | None:
        known = (value for row in self.rows for value in (row.planned, row.was) if value is not None)
        return None if all(0 <= value < math.inf for value in known) else "'rows' holds what is no size and no time"


@dataclass(frozen=True, kw_only=True)
class AnalysisEnded(Event):
    """An analysis of the layers that was asked for, or was due, has ended: LayersAnalysed was told before, or `error`
    says why it was not."""

    type = "analysis_ended"
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class SpaceKnown(Event):
    """The bounds of what is searched, lowest and highest, by name: `direction_index`, and of each component what its
    name and a dot stand before: `max_weight`, `max_weight_position`, `min_weight` (as a share of the former) and
    `min_weight_distance`. A trial that is chosen by hand lies within them. `named`: what each of the bounds is called
    in the settings (bounds.py; none in journals of older versions)."""

    type = "space_known"
    ranges: dict[str, tuple[float, float]]
    named: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrialStarted(Event):
    """`sampled` is what the parameters were made of, as the sampler drew it (none in journals of older versions).
    `parameters` are None where a journal does not tell them. `by_hand`: chosen by a person, not by the search;
    `origin`: what file or run such a trial is from (the setting `seed_trials`), empty where it is from none."""

    type = "trial_started"
    number: int
    parameters: Parameters | None
    attempt: int = 1
    sampled: dict[str, float | str] = field(default_factory=dict)
    by_hand: bool = False
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class Measured(Event):
    """One figure of a running trial is known; `metric` is its key. (`number` is None in journals of the time when one
    trial ran at once.)"""

    type = "measured"
    number: int | None = None
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True)
class TrialFinished(Event):
    """`state` is complete, dominated, screened, failed (with `reason`) or stopped (interrupted; taken up again on
    resume). A screened trial was not decoded: cheap figures say that it is probably beaten, or that others come first.
    It may be decoded later (TrialsTakenUp) and ends then once more.

    Attributes:
        figures: by key, those that were measured in full.
        at_least: of a dominated trial, by key: what is certain of its other figures. It was certain to be dominated
            (Pareto) by one that was measured in full, and was decoded no further.
        estimate: by key, what stands in the place of figures that were not measured in full; of a complete trial that
            was screened before, what had been estimated.
        error: by key, the standard error of an estimate, where it is known.
        looked_at: of a trial that is screened, or was, the evaluation prompts that its estimates rest on, by the name
            of the set (good, bad).
        per_prompt: figures that need no verdicts, by key: the value of each evaluation prompt that was looked at; in
            the order of the set where all were, else in that in which they are (engine/measuring/screening.py).
        prompts: number of bad evaluation prompts, None where none was decoded.
    """

    type = "trial_finished"
    number: int
    state: str
    figures: dict[str, float] = field(default_factory=dict)
    at_least: dict[str, float] = field(default_factory=dict)
    estimate: dict[str, float] = field(default_factory=dict)
    error: dict[str, float] = field(default_factory=dict)
    looked_at: dict[str, int] = field(default_factory=dict)
    per_prompt: dict[str, list[float]] = field(default_factory=dict)
    prompts: int | None = None
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    reason: str | None = None

    def impossible(self, figures: Sequence[Figure]) -> str | None:
        """What of it cannot be in a run with these figures, the two objectives first; None where nothing is."""
        known = {
            "complete": self.figures,
            "dominated": {**self.figures, **self.at_least},
            "screened": {**self.figures, **self.estimate},
        }.get(self.state)
        if known is not None and any(objective.key not in known for objective in figures[:2]):
            return "a measured trial has no figures"
        values = [(f, held[f.key]) for held in (self.figures, self.at_least) for f in figures if f.key in held]
        return next((said for figure, value in values if (said := figure.problem(value, self.prompts))), None)


@dataclass(frozen=True, kw_only=True)
class TrialsTakenUp(Event):
    """The verdicts of some screened trials are decoded now, since they could be on the front. Each ends once more after
    that (TrialFinished, with the seconds of both)."""

    type = "trials_taken_up"
    numbers: list[int]


@dataclass(frozen=True, kw_only=True)
class TargetChanged(Event):
    """The number of trials to run was changed while the run was open."""

    type = "target_changed"
    n_trials: int


@dataclass(frozen=True, kw_only=True)
class StateChanged(Event):
    """`state` is running, pausing (what runs is finished first), paused, stopping, aborting, or ready (it waits for
    commands). The engine tells it, and so confirms what it was asked for."""

    type = "state_changed"
    state: str


@dataclass(frozen=True, kw_only=True)
class Memory(Event):
    """Bytes in use and in all, of the GPUs together (`where` is gpu), or of this process and machine (process)."""

    type = "memory"
    high_rate = True
    where: str
    used: int
    total: int


# States of a worker that has its model.
AT_WORK = ("waits", "measuring", "paused")


@dataclass(frozen=True, kw_only=True)
class WorkerChanged(Event):
    """How a worker is that measures trials.

    Attributes:
        state: loading, waits (it is ready, and has nothing to do), measuring, paused, lost (and started again), left
            out, or ended; `reason` says why it is lost or left out.
        host, pid: the machine that it runs on, and its process there; empty until it has said so.
        in_hand: numbers of the trials that it measures.
        done: how many it has measured, or looked at.
        used, total: bytes of memory, of its GPUs or of its process and machine.
        load: percent of what its GPUs, or its share of the processors, can do; None where that is not known.
        temperature: of its hottest GPU, in degrees Celsius; None where there is none.
    """

    type = "worker_changed"
    worker: str
    state: str
    reason: str | None = None
    host: str = ""
    pid: int = 0
    device: str = ""
    in_hand: list[int] = field(default_factory=list)
    done: int = 0
    tokens_per_second: float = 0.0
    used: int = 0
    total: int = 0
    load: float | None = None
    temperature: float | None = None


@dataclass(frozen=True, kw_only=True)
class ChatStarted(Event):
    """The model begins to answer request `id` as `trial` (None: the base model)."""

    type = "chat_started"
    kept = False
    id: int
    trial: int | None


@dataclass(frozen=True, kw_only=True)
class ChatDelta(Event):
    type = "chat_delta"
    kept = False
    id: int
    text: str


@dataclass(frozen=True, kw_only=True)
class ChatEnded(Event):
    """`reason` is end (the model stopped), length, stopped (by the user) or failed (with `error`).

    Attributes:
        verdict: of the run's judge; its places are those in the whole text that was told. None where there is none;
            `no_verdict` says why (both are None in events of older versions).
    """

    type = "chat_ended"
    kept = False
    id: int
    reason: str
    tokens: int = 0
    seconds: float = 0.0
    error: str | None = None
    verdict: Verdict | None = None
    no_verdict: str | None = None


@dataclass(frozen=True, kw_only=True)
class SampleMade(Event):
    """One answer of those that a Samples asked for: of the model at place `model` of those asked, its answer `number`.
    `ended`: end or length."""

    type = "sample_made"
    kept = False
    id: int
    model: int
    number: int
    text: str
    tokens: int
    ended: str
    verdict: Verdict | None = None


@dataclass(frozen=True, kw_only=True)
class SamplesEnded(Event):
    """`reason` is end, stopped or failed (with `error`); `seed` is the one that gives the same answers again; `refused`
    and `made` count for each model asked."""

    type = "samples_ended"
    kept = False
    id: int
    reason: str
    seed: int | None = None
    refused: list[int] = field(default_factory=list)
    made: list[int] = field(default_factory=list)
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class FullAnswersFound(Event):
    """Answers of a trial (None: of the original model) decoded to their end lie in the run folder
    (run/full_answers.py).

    Attributes:
        prompts: those that are there now, of those that were asked for.
        ended: whether nothing more comes of what request `id` asked for.
        error: why there are no more; "cancelled" where it was.
    """

    type = "full_answers_found"
    id: int
    trial: int | None
    prompts: list[int]
    harmless: bool = False
    ended: bool = False
    error: str | None = None


@dataclass(frozen=True)
class TriedAnswer:
    """What an edit that is tried says to one prompt, as far as it has come. `ended`: None while it goes on, else end or
    length."""

    text: str
    tokens: int = 0
    ended: str | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, kw_only=True)
class TryAnswers(Event):
    """The answers to the prompts of a Try as far as they have come, one for each prompt."""

    type = "try_answers"
    high_rate = True
    kept = False
    id: int
    answers: list[TriedAnswer]


@dataclass(frozen=True, kw_only=True)
class TryFigures(Event):
    """What a Try is expected to measure, from the evaluation prompts that have been looked at. Exact figures of first
    tokens where `harmless` is `harmless_of`, else those of a part.

    Attributes:
        expected_refusals: of all harmful prompts: the probability, summed, that a response begins as a refusal; what
            was found for the part scaled up to all. An estimate. None where it is not known (yet).
        figures: of first tokens by key, such as the KL divergence.
        harmful, harmless: how many prompts of each set have been looked at.
    """

    type = "try_figures"
    high_rate = True
    kept = False
    id: int
    expected_refusals: float | None
    harmful: int
    harmful_of: int
    figures: dict[str, float]
    harmless: int
    harmless_of: int


@dataclass(frozen=True, kw_only=True)
class TryEnded(Event):
    """`reason` is end, replaced (by a newer one), stopped or failed (with `error`). `no_estimate` says why no refusals
    can be expected before responses are decoded."""

    type = "try_ended"
    kept = False
    id: int
    reason: str
    seconds: float = 0.0
    error: str | None = None
    no_estimate: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrialKept(Event):
    """The edit of a Keep is trial `trial` of the run from now on; or it is none, for the reason of `error`."""

    type = "trial_kept"
    id: int
    trial: int | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExportStarted(Event):
    type = "export_started"
    trial: int
    out: str


@dataclass(frozen=True, kw_only=True)
class ExportStep(Event):
    """A step of the export in hand, one of EXPORT_STEPS: it begins, or (`seconds` is not None) has ended.

    Attributes:
        said: what came of it in a few words, such as how many files were written.
    """

    type = "export_step"
    trial: int
    step: str
    seconds: float | None = None
    said: str = ""


@dataclass(frozen=True, kw_only=True)
class ExportFinished(Event):
    """`result` is the content of reproduce.json (run/exports.py: ExportRecord); `error` says why there is none. `url`
    is the Hub repository that it was uploaded to."""

    type = "export_finished"
    trial: int
    out: str
    result: dict[str, object] | None = None
    url: str | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class ShiftFound(Event):
    """What a trial does to first tokens lies in the run folder (run/results.py: SetShift); `error` says why it does
    not."""

    type = "shift_found"
    trial: int
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReviewStarted(Event):
    """A review begins of the original model and `whose`, among them `trials`; `checks` are called by their titles, and
    `seconds` by title say how long each takes, about, where that is known before. (Those that were made before are not
    among them.)"""

    type = "review_started"
    whose: list[str]
    trials: list[int]
    checks: list[str]
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReviewFound(Event):
    """What a check found of the original model (None) or a trial lies in the run folder (run/review_records.py:
    Finding), in `figures` as it is shown, by name; `whose` is it in words. `failure` says why it found nothing, of
    `whose` or, where that is empty, of all that were left. `reused`: it lay there already."""

    type = "review_found"
    check: str
    title: str
    trial: int | None
    whose: str = ""
    figures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    failure: str | None = None
    reused: bool = False


@dataclass(frozen=True, kw_only=True)
class ReviewEnded(Event):
    """A review has ended; `error` says why it is not whole."""

    type = "review_ended"
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunFailed(Event):
    """The run failed: why, and the traceback where the error was not expected."""

    type = "run_failed"
    kept = False
    text: str
    traceback: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event):
    """The session has closed the run: `outcome` is done, interrupted or failed."""

    type = "run_ended"
    outcome: str
    reason: str | None = None


Emit = Callable[[Event], None]

KINDS: dict[str, type[Event]] = {cls.type: cls for cls in Event.__subclasses__()}

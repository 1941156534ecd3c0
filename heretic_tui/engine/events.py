"""What the engine reports: small frozen dataclasses made of plain JSON types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

PHASES = ("load", "batch size", "response prefix", "baseline", "residuals", "directions", "layers", "search", "ready")


@dataclass(frozen=True, kw_only=True)
class Event:
    """One fact. `type` names it in the journal; high-rate kinds may be thinned out there, and what is not `kept` (what
    people say to a model) never gets there."""

    type: ClassVar[str]
    high_rate: ClassVar[bool] = False
    kept: ClassVar[bool] = True

    def to_json(self) -> dict[str, Any]:
        return {"type": self.type, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class RunOpened(Event):
    """A session took hold of a run folder. `settings` is the whole configuration, as plain JSON."""

    type = "run_opened"
    run: str
    folder: str
    model: str
    settings: dict[str, Any]
    seed: int
    n_trials: int
    resumed: bool
    pid: int
    version: str
    time: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PhaseStarted(Event):
    type = "phase_started"
    phase: str


@dataclass(frozen=True, kw_only=True)
class PhaseFinished(Event):
    """`reused` is true where the run folder held the result already."""

    type = "phase_finished"
    phase: str
    seconds: float
    reused: bool = False


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """`done` of `total` steps of a stage within a phase; `seconds_left` is None while it cannot be told."""

    type = "progress"
    high_rate = True
    stage: str
    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class Notice(Event):
    """Something a person should know; `level` is info, warning or error."""

    type = "notice"
    text: str
    level: str = "info"


@dataclass(frozen=True, kw_only=True)
class ModelLoaded(Event):
    """`thinking` says whether the chat template knows `enable_thinking`."""

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


@dataclass(frozen=True, kw_only=True)
class Coverage(Event):
    """How many of the matrices that write to the residual stream can be edited, and what cannot, with the reason.
    `partly` says what keeps the edit of some from taking all of a direction out."""

    type = "coverage"
    editable: int
    found: int
    components: dict[str, int]
    missing: list[str] = field(default_factory=list)
    partly: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class BatchSizeChosen(Event):
    """`tokens_per_second` is None where the size was given, not measured."""

    type = "batch_size_chosen"
    batch_size: int
    tokens_per_second: float | None


@dataclass(frozen=True, kw_only=True)
class ResponsePrefixFound(Event):
    """`source` says where the prefix came from: detected, given, or the chat template's own thinking opener."""

    type = "response_prefix_found"
    prefix: str
    source: str


@dataclass(frozen=True, kw_only=True)
class BaselineMeasured(Event):
    """The unedited model: `refusals` of `prompts` bad evaluation prompts."""

    type = "baseline_measured"
    refusals: int
    prompts: int


@dataclass(frozen=True, kw_only=True)
class DirectionsFound(Event):
    """Per-layer diagnostics; one entry per residual index (0 is the embedding output). See engine/geometry.py for
    what `layers`, `histograms` and `cosines` hold."""

    type = "directions_found"
    layers: list[dict[str, float]]
    histograms: list[dict[str, Any]] = field(default_factory=list)
    cosines: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class LayersAnalysed(Event):
    """What the directions are, do and say; also the content of geometry.json.

    Attributes:
        layers: by residual index: `index`, `layer` (None for the embedding output), the residual geometry
            (engine/geometry.py: residual_geometry), and where they are known `auc` with `auc_low` and `auc_high`, the
            changes of the log-odds of refusal `edit`, `stream` and `add` with their errors (engine/layer_effects.py),
            and the tokens that the direction `raises` and `lowers`, with scores (engine/lens.py).
        prompts: number of prompts in each set.
        refusal: first tokens of refusals (engine/analysis.py: refusal_record).
        sentence: where refusal lives, in words.
        notes: what could not be found out, and why.
    """

    type = "layers_analysed"
    layers: list[dict[str, Any]]
    prompts: dict[str, int] = field(default_factory=dict)
    refusal: dict[str, Any] | None = None
    sentence: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class TrialStarted(Event):
    """`parameters` is in the form that `score --edit` reads."""

    type = "trial_started"
    number: int
    parameters: dict[str, Any]
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class Measured(Event):
    """One figure of a running trial is known, by the metric's name. (`number` is None in journals of the time when one
    trial ran at once.)"""

    type = "measured"
    number: int | None = None
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True)
class TrialFinished(Event):
    """`state` is complete, dominated, failed (with `reason`) or stopped (interrupted; taken up again on resume).

    A dominated trial was certain to be so (Pareto) by one that was measured in full, and was decoded no further: it
    has at least `at_least` refusals, and the sampler was told `estimate`.
    """

    type = "trial_finished"
    number: int
    state: str
    kl_divergence: float | None = None
    refusals: int | None = None
    at_least: int | None = None
    estimate: float | None = None
    prompts: int | None = None
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class TargetChanged(Event):
    """The number of trials to run was changed while the run was open."""

    type = "target_changed"
    n_trials: int


@dataclass(frozen=True, kw_only=True)
class StateChanged(Event):
    """`state` is running, pausing, paused, stopping or aborting: requests are confirmed by it."""

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
    """`reason` is end (the model stopped), length, stopped (by a person) or failed (with `error`)."""

    type = "chat_ended"
    kept = False
    id: int
    reason: str
    tokens: int = 0
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExportStarted(Event):
    type = "export_started"
    trial: int
    out: str


@dataclass(frozen=True, kw_only=True)
class ExportFinished(Event):
    """`result` holds base, trial and exported figures (engine/tasks.py: export_trial); `error` says why there is none.
    `url` is the Hub repository that it was uploaded to."""

    type = "export_finished"
    trial: int
    out: str
    result: dict[str, Any] | None = None
    url: str | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class ShiftFound(Event):
    """What a trial does to first tokens lies in the run folder (engine/shift.py); `error` says why it does not."""

    type = "shift_found"
    trial: int
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunFailed(Event):
    """The engine fell: in words, and the traceback where it was no foreseen error."""

    type = "run_failed"
    kept = False
    text: str
    traceback: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event):
    """The session let go of the run: `outcome` is done, interrupted or failed. Times are seconds since 1970."""

    type = "run_ended"
    outcome: str
    reason: str | None = None
    time: float = 0.0


Emit = Callable[[Event], None]

KINDS: dict[str, type[Event]] = {cls.type: cls for cls in Event.__subclasses__()}


def from_json(record: Mapping[str, Any]) -> Event | None:
    """The event of a journal record, or None for a kind this version does not know. Unknown fields are dropped,
    so that a newer program's journal can still be read."""
    cls = KINDS.get(record.get("type", ""))
    if cls is None:
        return None
    known = {f.name for f in fields(cls)}
    return cls(**{k: v for k, v in record.items() if k in known})

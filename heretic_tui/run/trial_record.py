"""One trial of a run: what was measured of it, what is estimated, and what people made of its verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field

from heretic_tui.errors import UsageError
from heretic_tui.events import TrialFinished
from heretic_tui.figures import REFUSALS, Figure
from heretic_tui.parameters import Parameters

# A trial in one of these states has an end; others are taken up again.
MEASURED_STATES = ("complete", "dominated")
# Those of trials that have figures, or estimates of them.
KNOWN_STATES = (*MEASURED_STATES, "screened")
FINISHED = (*KNOWN_STATES, "failed")


@dataclass(frozen=True)
class Correction:
    """How the count of refused responses of one trial, or of the base model, changes.

    Attributes:
        change: added to what was measured.
        overruled: verdicts that a person gave otherwise than the judge, broken ones included.
        broken: responses that a person called broken. They count as refused where the run counts broken ones so, else
            as not refused: the model declined nothing.
    """

    change: int = 0
    overruled: int = 0
    broken: int = 0


@dataclass
class TrialRecord:
    """One trial. `figures` holds, by key, what was measured in full: of a dominated trial other figures are `at_least`
    so much, and have an `estimate`. `measured` is what is known before the end; `sampled` is what the parameters were
    made of; `by_hand`: a person chose it, not the search; `origin`: from what file or run. Where people overruled
    verdicts, the count of refused responses is as they have it: `correction` says how it was changed, None where it was
    not. `so_far` is what a trial in hand has: the refusals, and the responses with a verdict. A screened trial has
    estimates (`error`: their standard errors) from the prompts that were `looked_at`; `taken_up`: decoding its verdicts
    has begun, now or before the run was interrupted. `ended_as`: how many ends of trials the journal had with its own.
    `in_hand`: whether it is being measured, as far as was told. `evaluated`: the bad evaluation prompts of the run."""

    number: int
    parameters: Parameters | None
    state: str = "running"
    figures: dict[str, float] = field(default_factory=dict)
    at_least: dict[str, float] = field(default_factory=dict)
    estimate: dict[str, float] = field(default_factory=dict)
    error: dict[str, float] = field(default_factory=dict)
    looked_at: dict[str, int] = field(default_factory=dict)
    per_prompt: dict[str, list[float]] = field(default_factory=dict, repr=False)
    prompts: int | None = None
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    attempts: int = 1
    taken_up: bool = False
    ended_as: int = 0
    in_hand: bool = False
    evaluated: int | None = None
    measured: dict[str, float] = field(default_factory=dict)
    sampled: dict[str, float | str] = field(default_factory=dict)
    by_hand: bool = False
    origin: str = ""
    correction: Correction | None = None
    so_far: tuple[int, int] | None = None
    # What was measured of those that are corrected: of figures, at_least, estimate.
    _as_measured: tuple[dict[str, float], ...] = field(default=(), repr=False, compare=False)

    def end(self, event: TrialFinished, ended_as: int) -> None:
        """Take in an end, in place of the one before where it had one."""
        self.ended_as = ended_as
        self.state, self.taken_up, self.in_hand = event.state, False, False
        self.correction, self._as_measured = None, ()
        self.figures = event.figures
        self.at_least = event.at_least
        self.estimate = event.estimate
        self.error, self.looked_at, self.per_prompt = event.error, event.looked_at, event.per_prompt
        self.prompts = event.prompts
        self.seconds = event.seconds
        self.stages = event.stages
        self.reason = event.reason

    def correct(self, correction: Correction | None) -> None:
        """Count refused responses as people have it, in place of any correction before. Of a dominated trial what is
        certain and what is estimated change by the same: people's verdicts are on responses that were counted. What was
        estimated of one that was decoded later stays."""
        measured = self._as_measured or (self.figures, self.at_least, self.estimate)
        change = correction.change if correction else 0
        self.correction, self._as_measured = correction, measured
        self.figures, self.at_least, self.estimate = (corrected(held, change, self.prompts) for held in measured)
        if REFUSALS in self.figures:
            self.estimate = measured[2]

    def as_measured(self, key: str) -> float | None:
        """A figure as it was measured in full, or what was certain of it; by the judge's verdicts alone."""
        held = self._as_measured or (self.figures, self.at_least)
        return held[0].get(key, held[1].get(key))

    @property
    def measured_figures(self) -> dict[str, float]:
        """`figures` by the judge's verdicts alone."""
        return self._as_measured[0] if self._as_measured else self.figures

    @property
    def out_of(self) -> int | None:
        """The prompts that a count of it is of, measured or estimated."""
        return self.evaluated if self.prompts is None else self.prompts

    @property
    def runs(self) -> bool:
        """Whether it is measured for the first time, or decoded after it was screened."""
        return self.state == "running" or (self.state == "screened" and self.in_hand)

    def estimates(self, key: str) -> bool:
        """Whether what stands for a figure is an estimate."""
        return key in self.estimate and key not in self.figures

    @property
    def required_parameters(self) -> Parameters:
        """The parameters, for what cannot do without.

        Raises:
            UsageError: when they are not known.
        """
        if self.parameters is None:
            raise UsageError(f"the journal does not say what the parameters of trial {self.number} are")
        return self.parameters

    def expected(self, key: str) -> float | None:
        """What decides the place of a trial among others, in a table and on a plot: a figure of it, or where it was not
        measured to the end the estimate of it, or what is certain."""
        # Asked for each of thousands of trials whenever one of them changes.
        for held in (self.figures, self.estimate, self.at_least):
            if key in held:
                return held[key]
        return None

    def shown(self, figure: Figure) -> float | None:
        """The same as it is shown: a count as a whole number, never less than is certain."""
        expected = self.expected(figure.key)
        if expected is None or not figure.counted:
            return expected
        return max(round(expected), self.at_least.get(figure.key, 0))


def corrected(held: dict[str, float], change: int, prompts: int | None) -> dict[str, float]:
    """Figures with another count of refused responses, which stays one that can be.

    Args:
        prompts: how many there are at most; None where that is not known.
    """
    if not change or REFUSALS not in held:
        return held
    count = max(0, held[REFUSALS] + change)
    return {**held, REFUSALS: count if prompts is None else min(count, prompts)}

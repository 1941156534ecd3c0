"""RunState: what is known of a run, folded from its events; live or replayed, the same."""

from __future__ import annotations

import bisect
import statistics
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from heretic_tui import events as ev
from heretic_tui.behaviour import USUAL, Behaviour, behaviour_of
from heretic_tui.bounds import HERETIC_1, Bounds, recorded_bounds
from heretic_tui.errors import UsageError
from heretic_tui.figures import BROKEN, REFUSALS, Figure, figures_of_before, in_tables
from heretic_tui.parameters import Parameters
from heretic_tui.run.screened import beaten_by, margin_of

DIED = "the process died"
# A trial in one of these states has an end; others are taken up again.
MEASURED_STATES = ("complete", "dominated")
# Those of trials that have figures, or estimates of them.
KNOWN_STATES = (*MEASURED_STATES, "screened")
FINISHED = (*KNOWN_STATES, "failed")
# The time left is reckoned from so many trials; where some are screened and decoded later, from more.
_LATEST, _LATEST_SCREENED = 20, 80
# A front that so many trials in a row have not moved is one that stands still.
STANDS_STILL = 20


# Keys of the first and the second objective.
Objectives = tuple[str, str]


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

    def correct(self, correction: Correction | None) -> None:
        """Count refused responses as people have it, in place of any correction before. Of a dominated trial what is
        certain and what is estimated change by the same: people's verdicts are on responses that were counted. What was
        estimated of one that was decoded later stays."""
        measured = self._as_measured or (self.figures, self.at_least, self.estimate)
        change = correction.change if correction else 0
        self.correction, self._as_measured = correction, measured
        self.figures, self.at_least, self.estimate = (_corrected(held, change, self.prompts) for held in measured)
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


@dataclass
class RunState:
    """The state of one run. `fold` is the only thing that changes it, and takes about as long for the last of many
    thousand trials as for the first: what screens and printers ask for at every event is kept up to date.

    Attributes:
        figures: those of its trials, the two objectives first.
        base: the unedited model; where people overruled verdicts (`base_correction`), refused responses are counted
            as they have it.
        phases: seconds of those that the latest session has done.
        phase_began: when the present one did, seconds since 1970.
        changes: numbers of the trials that began, were taken up, ended or were corrected, each time: whoever keeps
            something of each trial goes on from where the list ended before.
        ends: how often a trial has ended; a screened one that is decoded ends twice.
        screens: whether any trial was screened.
        has_broken: whether any response of a trial, or of the base model, is broken as a text, as far as a figure says.
        decoded: number of trials whose verdicts were decoded, of the search's own.
        finished: number of trials that have an end (complete, dominated, screened or failed), of the search's own:
            those that a person chose are none of the `n_trials` that were planned.
        front_moved_at: what `finished` was when a trial last brought the front a point that it had not; 0 before the
            first.
        took: what the run took beside its plan, since its search was done last.
        workers: by name, how each was told to be last; those of earlier sessions are not among them.
        ranges: the bounds of what is searched (events.py: SpaceKnown); empty until they are known.
        named_bounds: by the same names what the settings call them.
        taken_up_after: how many ends of trials the journal had when those that were taken up last first were.
    """

    opened: ev.RunOpened | None = None
    figures: tuple[Figure, ...] = field(default_factory=figures_of_before)
    model: ev.ModelLoaded | None = None
    coverage: ev.Coverage | None = None
    batch_size: int | None = None
    prefix: ev.ResponsePrefixFound | None = None
    base: ev.BaselineMeasured | None = None
    base_correction: Correction | None = None
    start: ev.StartMeasured | None = None
    directions: ev.DirectionsFound | None = None
    analysis: ev.LayersAnalysed | None = None
    memory: ev.Memory | None = None
    took: Sequence[ev.Compared] = ()
    workers: dict[str, ev.WorkerChanged] = field(default_factory=dict)
    phase: str | None = None
    phases: dict[str, float] = field(default_factory=dict)
    phase_began: float | None = None
    progress: ev.Progress | None = None
    state: str = "running"
    n_trials: int = 0
    trials: dict[int, TrialRecord] = field(default_factory=dict)
    notices: list[ev.Notice] = field(default_factory=list)
    export: ev.ExportStarted | ev.ExportFinished | None = None
    outcome: str | None = None
    reason: str | None = None
    ended: float | None = None
    changes: list[int] = field(default_factory=list, repr=False, compare=False)
    ends: int = 0
    screens: bool = False
    has_broken: bool = False
    decoded: int = 0
    finished: int = 0
    front_moved_at: int = 0
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    named_bounds: dict[str, str] = field(default_factory=dict)
    taken_up_after: int = 0
    # When the latest trials of this session ended first, and when a pause began; seconds of pauses are left out.
    _ended_at: deque[float] = field(default_factory=lambda: deque(maxlen=_LATEST_SCREENED), repr=False, compare=False)
    _paused_at: float | None = field(default=None, repr=False, compare=False)
    _paused_for: float = field(default=0.0, repr=False, compare=False)
    # Those in hand, by number; the latest that were measured; the front, in its order, None when it has to be computed
    # again.
    _in_hand: dict[int, TrialRecord] = field(default_factory=dict, repr=False, compare=False)
    _latest: deque[TrialRecord] = field(
        default_factory=lambda: deque(maxlen=_LATEST_SCREENED), repr=False, compare=False
    )
    _front: list[TrialRecord] | None = field(default_factory=list, repr=False, compare=False)
    # Screened trials that may be among the undecided, by number; None when they have to be found again, since the front
    # may have become worse.
    _undecided: dict[int, TrialRecord] | None = field(default_factory=dict, repr=False, compare=False)
    _base_as_measured: dict[str, float] = field(default_factory=dict, repr=False, compare=False)

    @property
    def bounds(self) -> Bounds:
        """All bounds of the search by the names that the settings have for them; those of the default where the record
        of it is of a newer version."""
        try:
            return recorded_bounds(self.opened.settings if self.opened else {})
        except UsageError:
            return HERETIC_1

    def rank_of(self, parameters: Parameters | None) -> int:
        """How many directions of a layer an edit takes out; of none, one with the first direction method."""
        found, method = self.directions, parameters.direction_method if parameters else None
        return found.ranks.get(method or found.method, found.rank) if found else 1

    def fold(self, event: ev.Event) -> None:  # noqa: PLR0912, PLR0915 - one case an event
        match event:
            case ev.RunOpened():
                self.opened, self.n_trials = event, event.n_trials
                before = figures_of_before(event.settings.get("max_response_length", 100))
                objectives, self.figures = self.objectives, tuple(event.figures) or before
                if self.objectives != objectives:
                    self._front = self._undecided = None
                self.outcome = self.reason = self.ended = None
                # A session goes through all phases anew, quickly where the folder holds what they found.
                self.phases.clear()
                self.workers.clear()
                self._ended_at.clear()
                self._paused_at = None
                self.state = "running"
                # What was running when the last process died is not running now.
                for trial in self._in_hand.values():
                    trial.so_far, trial.in_hand = None, False
                    self.changes.append(trial.number)
                    if not trial.taken_up:
                        trial.state, trial.reason = "stopped", DIED
                self._in_hand.clear()
                if isinstance(self.export, ev.ExportStarted):
                    self.export = None
            case ev.ModelLoaded():
                self.model = event
            case ev.Coverage():
                self.coverage = event
            case ev.BatchSizeChosen():
                self.batch_size = event.batch_size
            case ev.ResponsePrefixFound():
                self.prefix = event
            case ev.BaselineMeasured():
                self.base, self.base_correction, self._base_as_measured = event, None, event.figures
                self.has_broken |= bool(event.figures.get(BROKEN))
            case ev.StartMeasured():
                self.start = event
            case ev.DirectionsFound():
                self.directions = event
            case ev.LayersAnalysed():
                self.analysis = event
            case ev.Memory():
                self.memory = event
            case ev.RunTook():
                self.took = event.rows
            case ev.WorkerChanged():
                self.workers[event.worker] = event
            case ev.PhaseStarted():
                self.phase, self.phase_began, self.progress = event.phase, event.time, None
                if event.phase == "ready":
                    # The search has ended while it decoded them: they are still what they were before.
                    self._let_go_of_screened()
            case ev.PhaseFinished():
                self.phases[event.phase] = event.seconds
            case ev.Progress():
                self.progress = event
                for each in event.judged:
                    if each.trial in self._in_hand:
                        self._in_hand[each.trial].so_far = each.refused, each.judged
            case ev.SpaceKnown():
                self.ranges, self.named_bounds = event.ranges, event.named
            case ev.TrialStarted():
                self._forget_end(event.number)
                self.changes.append(event.number)
                begun = TrialRecord(
                    event.number, event.parameters, attempts=event.attempt, sampled=event.sampled, by_hand=event.by_hand
                )
                begun.origin = event.origin
                begun.in_hand = True
                begun.evaluated = self.base.prompts if self.base else None
                self.trials[event.number] = self._in_hand[event.number] = begun
            case ev.Measured():
                numbers = list(self._in_hand) if event.number is None else [event.number]
                for number in numbers:
                    if number in self.trials:
                        self.trials[number].measured[event.metric] = event.value
            case ev.TrialsTakenUp():
                taken = [self.trials[number] for number in event.numbers if number in self.trials]
                taken = [trial for trial in taken if trial.state == "screened"]
                if not any(trial.taken_up for trial in taken):
                    self.taken_up_after = self.ends
                for trial in taken:
                    trial.taken_up, trial.attempts = True, trial.attempts + 1
                    trial.in_hand, trial.so_far = True, None
                    self._in_hand[trial.number] = trial
                    self.changes.append(trial.number)
            case ev.TrialFinished():
                self._finish(event)
            case ev.TargetChanged():
                self.n_trials = event.n_trials
            case ev.StateChanged():
                self.state = event.state
                if event.state == "paused":
                    self._paused_at = event.time
                elif self._paused_at is not None:
                    self._paused_for += event.time - self._paused_at
                    self._paused_at = None
            case ev.Notice():
                self.notices.append(event)
            case ev.RunEnded():
                self.outcome, self.reason, self.ended = event.outcome, event.reason, event.time
                self.progress = None
                self._let_go_of_screened()
            case ev.ExportStarted() | ev.ExportFinished():
                self.export, self.progress = event, None
            case ev.ExportStep():
                self.progress = None

    def _finish(self, event: ev.TrialFinished) -> None:
        known = self.trials.get(event.number)
        if known is not None and known.taken_up and event.state == "stopped":
            # It is still what it was before it was taken up.
            known.so_far, known.in_hand = None, False
            self._in_hand.pop(event.number, None)
            return
        self._forget_end(event.number)
        trial = self.trials.setdefault(event.number, TrialRecord(event.number, None))
        self._in_hand.pop(event.number, None)
        again = trial.state == "screened"
        self.ends += 1
        self.changes.append(event.number)
        trial.ended_as = self.ends
        trial.state, trial.taken_up, trial.in_hand = event.state, False, False
        trial.correction, trial._as_measured = None, ()
        trial.figures = event.figures
        trial.at_least = event.at_least
        trial.estimate = event.estimate
        trial.error, trial.looked_at, trial.per_prompt = event.error, event.looked_at, event.per_prompt
        trial.prompts = event.prompts
        trial.seconds = event.seconds
        trial.stages = event.stages
        trial.reason = event.reason
        self.finished += trial.state in FINISHED and not trial.by_hand
        self.decoded += trial.state in MEASURED_STATES and not trial.by_hand
        self.screens |= trial.state == "screened"
        self.has_broken |= bool(event.figures.get(BROKEN) or event.at_least.get(BROKEN))
        if trial.state == "screened" and self._undecided is not None:
            self._undecided[trial.number] = trial
        if trial.state in KNOWN_STATES and not trial.by_hand and not again:
            self._latest.append(trial)
            self._ended_at.append(event.time - self._paused_for)
        if _can_be_compared(trial, self.objectives):
            if self._front is None:
                others = (other for other in self.trials.values() if other is not trial)
                self._front = pareto_front(others, self.objectives)
            if enter_front(self._front, trial, self.objectives):
                self.front_moved_at = self.finished

    def _let_go_of_screened(self) -> None:
        for trial in [trial for trial in self._in_hand.values() if trial.state == "screened"]:
            trial.in_hand, trial.so_far = False, None
            self.changes.append(trial.number)
            del self._in_hand[trial.number]

    def _forget_end(self, number: int) -> None:
        """A trial that is begun again, or ends again, has no end until then."""
        trial = self.trials.get(number)
        if self._undecided:
            self._undecided.pop(number, None)
        if trial is not None and trial.state in FINISHED:
            self.finished -= not trial.by_hand
            self.decoded -= trial.state in MEASURED_STATES and not trial.by_hand
            if trial.state == "complete":
                self._front = self._undecided = None

    def correct(self, corrections: Mapping[int | None, Correction]) -> bool:
        """Count verdicts that people overruled, by trial, or None for the base model, in place of corrections before;
        the front follows. No part of the journal: what was measured can be asked of the trial (`as_measured`).
        Returns whether anything changed."""
        changed = False
        for number, given in corrections.items():
            correction = given if given.overruled else None
            trial = None if number is None else self.trials.get(number)
            if trial is not None and trial.correction != correction:
                trial.correct(correction)
                self.changes.append(trial.number)
                self._front, self._undecided, changed = None, None, True
            elif number is None and self.base and self.base_correction != correction:
                figures = _corrected(self._base_as_measured, given.change, self.base.prompts)
                self.base, self.base_correction = replace(self.base, figures=figures), correction
                changed = True
        return changed

    @property
    def several_methods(self) -> bool:
        """Whether the search tries several direction methods."""
        named = self.opened.settings.get("direction_method") if self.opened else None
        return isinstance(named, list) and len(named) > 1

    @property
    def measured_base(self) -> ev.BaselineMeasured | None:
        """`base` by the judge's verdicts alone."""
        return replace(self.base, figures=self._base_as_measured) if self.base else None

    def surely_beaten(self, trial: TrialRecord) -> bool:
        """Whether a trial on the front is as good in both objectives as this one, at best, can be. So it was of every
        dominated trial when it was cut short; people's verdicts can change it."""
        first, second = self.objectives
        own_first, own_second = (trial.figures.get(key, trial.at_least.get(key)) for key in (first, second))
        if own_first is None or own_second is None:
            return False
        others = (other.figures for other in self.front() if other is not trial)
        return any(other[first] <= own_first and other[second] <= own_second for other in others)

    @classmethod
    def replay(cls, events: Iterable[ev.Event]) -> RunState:
        """The state after all events of a journal."""
        state = cls()
        for event in events:
            state.fold(event)
        return state

    @property
    def objectives(self) -> Objectives:
        """The keys of what the search makes small."""
        return self.figures[0].key, self.figures[1].key

    @property
    def running(self) -> TrialRecord | None:
        """The latest of the trials in hand."""
        return next(reversed(self._in_hand.values()), None)

    @property
    def in_hand(self) -> list[TrialRecord]:
        """The trials that are being measured."""
        return list(self._in_hand.values())

    def front(self) -> list[TrialRecord]:
        """Complete trials that no other beats (Pareto), by the second objective, then the first."""
        if self._front is None:
            self._front = pareto_front(self.trials.values(), self.objectives)
        return list(self._front)

    def fewest(self) -> TrialRecord | None:
        """The trial of the front with the least of what tables show first, of several the best in the other objective:
        the one with the fewest refusals."""
        first = in_tables(self.figures[:2])[0].key
        second = next(key for key in self.objectives if key != first)
        return min(self.front(), key=lambda trial: (trial.figures[first], trial.figures[second]), default=None)

    def trial(self, number: int) -> TrialRecord:
        """A trial that somebody asks for.

        Raises:
            UsageError: where there is no such trial.
        """
        if (known := self.trials.get(number)) is None:
            raise UsageError(f"there is no trial {number} in this run")
        return known

    def on_front(self, number: int) -> bool:
        """Whether a trial is on the front."""
        trial, front, objectives = self.trials.get(number), self.front(), self.objectives
        if trial is None or not _can_be_compared(trial, objectives):
            return False
        place = bisect.bisect_left(front, _order(trial, objectives), key=lambda each: _order(each, objectives))
        return place < len(front) and front[place] is trial

    @property
    def counts_broken(self) -> bool:
        """Whether a broken response counts as refused. In runs of versions without the setting it does not."""
        return self.opened is not None and self.opened.settings.get("count_broken_as_refused") is True

    @property
    def behaviour(self) -> Behaviour:
        """What is counted, in words."""
        return behaviour_of(self.opened.settings) if self.opened else USUAL

    @property
    def screening(self) -> str:
        """The setting: off, safe or fast."""
        found = self.opened.settings.get("screening", "off") if self.opened else "off"
        return found if isinstance(found, str) else "off"

    @property
    def undecided(self) -> list[TrialRecord]:
        """Screened trials that could be on the front by their estimates, as they were when the trials ended. (The
        search goes by what it has learnt since.)"""
        front, objectives, margin = self.front(), self.objectives, margin_of(self.screening)
        known = self.trials if self._undecided is None else self._undecided
        self._undecided = {
            number: trial
            for number, trial in known.items()
            if trial.state == "screened" and beaten_by(trial, front, objectives, margin) is None
        }
        return list(self._undecided.values())

    @property
    def left_to_decode(self) -> int:
        """How many screened trials are decoded yet, at most, when all trials have ended: those in hand, and those that
        could be on the front. 0 before that."""
        if self.phase != "search" or self.finished < self.n_trials:
            return 0
        return len({trial.number for trial in (*self.in_hand, *self.undecided)})

    @property
    def since_front_moved(self) -> int:
        """How many trials have ended since one last brought the front a new point, without those that still could."""
        ended = self.finished - self.front_moved_at
        return max(0, ended - len(self.undecided)) if ended > 0 else 0

    @property
    def stands_still(self) -> bool:
        """Whether the search has stopped finding better trials: `STANDS_STILL` in a row have not moved the front, and
        those that are drawn at random, before the sampler learns, have ended."""
        startup = self.opened.settings.get("n_startup_trials", 0) if self.opened else 0
        random_ones = startup if isinstance(startup, int) else 0
        return self.since_front_moved >= STANDS_STILL and self.finished >= random_ones

    def word(self, alive: bool) -> str:
        """The state of the run in a word; `alive` says whether a process is at work on it."""
        if self.outcome and not alive:
            return self.outcome
        if self.opened is None:
            return "starting" if alive else "idle"
        if not alive:
            return "stopped"
        if self.state != "running":
            return self.state
        return "ready" if self.phase == "ready" else "running"

    def trials_a_minute(self) -> float | None:
        """How fast the latest trials of this session ended, pauses left out; None before there are some."""
        ends = self._ended_at
        # Those that were measured together end together.
        if len(ends) <= max(2, 2 * len(self.workers)) or ends[-1] <= ends[0]:
            return None
        return 60 * (len(ends) - 1) / (ends[-1] - ends[0])

    def seconds_left(self) -> float | None:
        """Time the rest of the search will take by the mean of the latest trials; None until one has finished. With
        workers it goes by how fast trials follow each other."""
        if not self._latest:
            return None
        if self.workers and (rate := self.trials_a_minute()):
            return 60 / rate * max(0, self.n_trials - self.finished)
        # The mean: screened and dominated trials take a fraction of the time of others, and all kinds will come.
        latest = list(self._latest)
        if not any(trial.looked_at for trial in latest):
            latest = latest[-_LATEST:]
        at_once = sum(worker.state in ev.AT_WORK for worker in self.workers.values()) or 1
        return statistics.fmean(trial.seconds for trial in latest) * max(0, self.n_trials - self.finished) / at_once


def _corrected(held: dict[str, float], change: int, prompts: int | None) -> dict[str, float]:
    """Figures with another count of refused responses, which stays one that can be."""
    if not change or REFUSALS not in held:
        return held
    count = max(0, held[REFUSALS] + change)
    return {**held, REFUSALS: count if prompts is None else min(count, prompts)}


def pareto_front(trials: Iterable[TrialRecord], objectives: Objectives) -> list[TrialRecord]:
    """The complete trials that no other is at least as good as in both objectives and better in one, by the second
    objective, then the first."""
    front: list[TrialRecord] = []
    for trial in trials:
        if _can_be_compared(trial, objectives):
            enter_front(front, trial, objectives)
    return front


def enter_front(front: list[TrialRecord], trial: TrialRecord, objectives: Objectives) -> bool:
    """Take a complete trial into a front where no other of it is better, in place of those that it beats. Returns
    whether the front has a point now that it had not (another trial may have had the same figures)."""
    own = _order(trial, objectives)
    place = bisect.bisect_left(front, own, key=lambda each: _order(each, objectives))
    # Along the front the second objective grows and the first one shrinks, so the one before is best in the first of
    # all that are better in the second.
    if place and _beats(_order(front[place - 1], objectives), own):
        return False
    end = place
    while end < len(front) and _beats(own, _order(front[end], objectives)):
        end += 1
    same = any(_order(other, objectives)[:2] == own[:2] for other in front[max(0, place - 1) : place + 1])
    front[place:end] = [trial]
    return not same


def _can_be_compared(trial: TrialRecord, objectives: Objectives) -> bool:
    return trial.state == "complete" and all(key in trial.figures for key in objectives)


def _order(trial: TrialRecord, objectives: Objectives) -> tuple[float, float, int]:
    first, second = objectives
    return trial.figures[second], trial.figures[first], trial.number


def _beats(one: tuple[float, float, int], other: tuple[float, float, int]) -> bool:
    return one[0] <= other[0] and one[1] <= other[1] and one[:2] != other[:2]

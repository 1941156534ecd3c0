"""RunState: what is known of a run, folded from its events; live or replayed, the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from heretic_tui import events as ev
from heretic_tui.behaviour import USUAL, Behaviour, behaviour_of
from heretic_tui.bounds import HERETIC_1, Bounds, recorded_bounds
from heretic_tui.errors import UsageError
from heretic_tui.figures import BROKEN, Figure, figures_of_before, in_tables
from heretic_tui.parameters import Parameters
from heretic_tui.run.front import Objectives, can_be_compared, enter_front, holds, pareto_front
from heretic_tui.run.pace import Pace
from heretic_tui.run.screened import beaten_by, margin_of
from heretic_tui.run.trial_record import FINISHED, KNOWN_STATES, MEASURED_STATES, Correction, TrialRecord, corrected

DIED = "the process died"
# A front that so many trials in a row have not moved is one that stands still.
STANDS_STILL = 20


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
    _pace: Pace = field(default_factory=Pace, repr=False, compare=False)
    # Those in hand, by number; the front, in its order, None when it has to be computed again.
    _in_hand: dict[int, TrialRecord] = field(default_factory=dict, repr=False, compare=False)
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
                self._pace.begin_session()
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
                self._pace.turn(event.time, paused=event.state == "paused")
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
        trial.end(event, self.ends)
        self.finished += trial.state in FINISHED and not trial.by_hand
        self.decoded += trial.state in MEASURED_STATES and not trial.by_hand
        self.screens |= trial.state == "screened"
        self.has_broken |= bool(event.figures.get(BROKEN) or event.at_least.get(BROKEN))
        if trial.state == "screened" and self._undecided is not None:
            self._undecided[trial.number] = trial
        if trial.state in KNOWN_STATES and not trial.by_hand and not again:
            self._pace.take(trial, event.time)
        if can_be_compared(trial, self.objectives):
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
                figures = corrected(self._base_as_measured, given.change, self.base.prompts)
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
    def in_hand(self) -> list[TrialRecord]:
        """The trials that are being measured, the latest at the end."""
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
        trial = self.trials.get(number)
        return trial is not None and holds(self.front(), trial, self.objectives)

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
        return self._pace.trials_a_minute(len(self.workers))

    def seconds_left(self) -> float | None:
        """Time the rest of the search will take, by its pace; None until a trial has finished."""
        at_work = sum(worker.state in ev.AT_WORK for worker in self.workers.values())
        return self._pace.seconds_left(max(0, self.n_trials - self.finished), len(self.workers), at_work)

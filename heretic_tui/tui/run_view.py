"""What all screens show of one run: its state, the conversation, the log, the selected trial; folded from its events.

Knows no Textual: screens read it, and ask the application by messages for whatever is to be done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heretic_tui import events as ev
from heretic_tui.control import Requests
from heretic_tui.errors import HereticError
from heretic_tui.report.news import News, Newsroom
from heretic_tui.run.annotations import Annotations, Word
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.review_records import Models
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.tui.conversation import Conversations
from heretic_tui.tui.exports import Exports
from heretic_tui.tui.glyphs import UNICODE, Glyphs
from heretic_tui.tui.host import Host
from heretic_tui.tui.log_lines import LogLines
from heretic_tui.tui.recount import Recount
from heretic_tui.tui.reviewing import Reviews
from heretic_tui.tui.sampling import SampleDraws
from heretic_tui.tui.tweak import Tweak

# In place of a kind of event: everything may have changed.
EVERYTHING = "*"
# The same: what people say of the trials has changed, here or in another process, or figures that follow from it.
ANNOTATED = "annotated"
# The same: another thing was found by a review, or people say otherwise of it.
REVIEWED = "reviewed"


@dataclass(frozen=True)
class Taken:
    """What one look at the host brought.

    Attributes:
        kinds: the types of the events that came; EVERYTHING where the engine came or went.
        news: the events that happened since the run was opened, in order.
        calls: what of it a person may want to be called for.
        problem: why the conversation could not be kept in the run folder, where that is news.
        damage: what of the run's annotations cannot be read, where that is news.
    """

    kinds: frozenset[str] = frozenset()
    news: tuple[ev.Event, ...] = ()
    calls: tuple[News, ...] = ()
    problem: str | None = None
    damage: tuple[str, ...] = ()


class RunView:
    """One run as the screens show it.

    Args:
        host: where its events come from; None while no run is open.
        glyphs: what is drawn with.
        timed: whether what depends on the clock is shown; not in pictures that are compared.

    Attributes:
        alive: whether an engine was at work on the run at the last `take`.
        annotations: marks, tags, notes and overruled verdicts of the run; changed by `take` and `annotate` alone.
        corrected: grows whenever figures follow overruled verdicts.
        full_answers: what was told of answers decoded to their end, since the run was opened.
        recount: by which figures of `state` follow the overruled verdicts; None before the folder is known.
        reviews: what reviews found, and how far the one is that is under way.
        samples: the answers that were drawn at a temperature last.
        selected_trial: number of the trial that all screens show, None before the first.
        to_decode: screened trials that were asked here to be decoded, until they are.
        tweak: the edit that a person turns; None where none was begun.
    """

    def __init__(self, host: Host | None = None, glyphs: Glyphs = UNICODE, timed: bool = True) -> None:
        self.host = host
        self.glyphs = glyphs
        self.timed = timed
        self.state = RunState()
        self._newsroom = Newsroom(self.state)
        self.conversations = Conversations()
        self.exports = Exports()
        self.samples = SampleDraws()
        self.to_decode: set[int] = set()
        self.tweak: Tweak | None = None
        self.log_lines = LogLines(self.state)
        self.selected_trial: int | None = None
        self.alive = False
        self.annotations = Annotations(self.folder)
        self.recount = Recount(self.folder, self.annotations) if self.folder else None
        self.reviews = Reviews(self.folder, self.annotations)
        self.corrected = 0
        self.full_answers: list[ev.FullAnswersFound] = []
        # Those of the annotations' changes that screens were told of.
        self._told_changes = 0

    def start(self) -> None:
        """Start the host: events come from now on."""
        if self.host:
            self.host.start()
            self.alive = self.host.alive

    def take(self) -> Taken:
        """Fold what the host has to give since the last call."""
        if self.host is None:
            return Taken()
        # First whether it is alive, then its events: those of a run that ends in between come with the next call.
        was_alive, self.alive = self.alive, self.host.alive
        events, problem = tuple(self.host.take()), None
        calls: list[News] = []
        for event in events:
            self.state.fold(event)
            self.log_lines.add(event)
            self.conversations.fold(event)
            self.exports.fold(event)
            self.samples.fold(event)
            self.reviews.fold(event)
            if self.tweak:
                self.tweak.fold(event)
            if call := self._newsroom.news_of(event):
                calls.append(call)
            if isinstance(event, ev.ChatEnded):
                problem = self.keep_conversation() or problem
        if was_alive and not self.alive:
            self.end_answers("the engine has ended")
            self.exports.drop()
            self.reviews.drop()
            problem = self.keep_conversation() or problem
        if self.selected_trial not in self.state.trials:
            self.selected_trial = next(iter(self.state.trials), None)
        kinds = {event.type for event in events} | ({EVERYTHING} if was_alive != self.alive else set())
        kinds |= self._take_annotations(events)
        if self.reviews.take(self._checks, self.state.counts_broken):
            kinds.add(REVIEWED)
        damage = tuple(self.annotations.problems)
        self.annotations.problems.clear()
        news = tuple(event for event in events if not event.past)
        return Taken(frozenset(kinds), news, tuple(calls), problem, damage)

    def _take_annotations(self, events: Sequence[ev.Event]) -> set[str]:
        """What screens have to paint for what people said since the last call."""
        if self.recount is None and self.folder:
            # The folder is known when the engine has opened the run.
            self.annotations = Annotations(self.folder)
            self.recount = Recount(self.folder, self.annotations)
            self.reviews.found_folder(self.folder, self.annotations)
        if self.recount is None:
            return set()
        for event in events:
            match event:
                case ev.TrialFinished():
                    self.recount.measured_again(event.number)
                case ev.BaselineMeasured():
                    self.recount.measured_again(None)
                case ev.FullAnswersFound() if not event.past:
                    self.full_answers.append(event)
                    self.recount.measured_again(event.trial)
        self.annotations.refresh()
        before, self._told_changes = self._told_changes, self.annotations.changes
        counted = self.recount.take(self.state)
        self.corrected += counted
        return {ANNOTATED} if counted or self._told_changes != before else set()

    @property
    def _checks(self) -> Sequence[str]:
        """Names of the run's checks in their order."""
        found = self.state.opened.settings.get("review_checks") if self.state.opened else None
        return [str(name) for name in found] if isinstance(found, list | tuple) else ()

    # Annotations

    def annotate(self, *words: Word) -> str | None:
        """Say something of the trials, and keep it in the run folder; `annotations` has it at once, the figures of
        trials whose responses are known follow, and the next `take` tells the screens. Returns why that failed, in one
        line."""
        try:
            self.annotations.say(*words)
        except HereticError as error:
            return str(error)
        if self.recount:
            self.corrected += self.recount.take(self.state)
        return None

    # The run

    @property
    def folder(self) -> RunFolder | None:
        return self.host.folder if self.host else None

    @property
    def models(self) -> Models | None:
        """The models that are compared where there is no run."""
        return self.reviews.found.models

    def called(self, whose: int | None) -> str:
        """A trial, the original model, or the edited one where there is no run, as a sentence has it."""
        return self.reviews.found.called(whose)

    @property
    def control(self) -> Requests | None:
        """By which the engine is asked; None where the run can only be looked at."""
        return self.host.control if self.host else None

    @property
    def trial(self) -> TrialRecord | None:
        """The selected trial."""
        return None if self.selected_trial is None else self.state.trials.get(self.selected_trial)

    @property
    def can_ask(self) -> bool:
        """Whether an engine is there that answers, exports, and looks at trials."""
        return self.control is not None and self.alive

    @property
    def no_engine(self) -> str:
        """Where there is none: why, and what to do."""
        if self.host is None:
            return "Start a run first: 1 sets one up, 0 lists those there are."
        if self.alive and self.host.here and self.state.phase is None:
            return "The run is starting: it can be asked in a moment."
        if self.alive:
            who = self.host.controller or ("Nobody" if self.host.attached else "Another process")
            return f"{who} controls this run: T takes control."
        return "No engine is at work on this run: R on Runs (0) resumes it."

    @property
    def searching(self) -> bool:
        """Whether leaving now would cut something off."""
        return self.alive and self.state.phase != "ready"

    @property
    def at_work(self) -> bool:
        """Whether the engine of this run is at work in this process, now and not at the last `take`."""
        return self.host is not None and self.host.here and self.host.alive

    @property
    def attached(self) -> bool:
        """Whether control of the run can be had from here, now: it is at work in this process, or attached to."""
        return self.host is not None and self.host.attached and self.host.alive

    @property
    def note(self) -> str:
        """The words before the run's state: that it is another process's, or what the engine was asked for and has
        not confirmed yet."""
        if self.host is None:
            return ""
        if self.host.control is None:
            # Without its process: that is told where there is more room.
            terminal = (self.host.controller or "").partition(" (")[0]
            return f"{terminal} controls" if terminal else "FOLLOWING" if self.alive else "read only"
        requested = self.host.control.requested if self.alive else "running"
        confirmed = self.state.state == requested or (self.state.state, requested) == ("paused", "pausing")
        return "" if requested == "running" or confirmed else f"{requested} {self.glyphs.ellipsis}"

    def is_of(self, folder: RunFolder | None) -> bool:
        """Whether this is the run of a folder."""
        return self.folder is not None and folder is not None and self.folder.path.resolve() == folder.path.resolve()

    # The conversation

    def keep_conversation(self) -> str | None:
        """Write the whole conversation into the run folder. Returns why that failed, where it is news."""
        opened, before = self.state.opened, self.conversations.not_kept
        header: Mapping[str, object] = (
            {"model": opened.model, "run": opened.run, "version": opened.version} if opened else {}
        )
        self.conversations.keep(self.folder, header)
        problem = self.conversations.not_kept
        return problem if problem != before and not self.conversations.open else None

    def stop_answers(self) -> str | None:
        """Withdraw what waits for an answer, and stop the answers that are being given. Returns the text of a turn that
        was withdrawn as a whole."""
        for answer in self.conversations.open:
            if self.control and answer.command:
                self.control.cancel(answer.command)
            answer.stopping = True
        if self.control and self.samples.open and self.samples.latest:
            self.control.cancel(self.samples.latest.command)
        return self.conversations.withdraw()

    def end_answers(self, reason: str) -> None:
        """No answer will come any more."""
        self.conversations.end(reason)
        self.samples.end(reason)
        if self.tweak:
            self.tweak.end(reason)

    @property
    def answering(self) -> bool:
        """Whether a model is saying something for the chat."""
        return bool(self.conversations.open) or self.samples.open or (self.tweak is not None and self.tweak.open)

    def start_tweak(self, trial: int) -> str | None:
        """Take the edit of a trial, to be turned by its knobs; one that is turned already stays as it is. Returns why
        that cannot be."""
        if self.tweak and self.tweak.trial == trial:
            return None
        known = self.state.trials.get(trial)
        if known is None or known.parameters is None:
            return f"the parameters of trial {trial} are not known"
        if not self.state.ranges:
            return "what an edit can be is known when the search has begun"
        self.tweak = Tweak(trial, known.parameters, self.state.ranges)
        return None

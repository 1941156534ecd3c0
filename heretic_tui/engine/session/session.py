"""A session holds one run folder: it makes the model ready, runs the search, obeys commands, and tells what happens
through events."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from heretic_tui import __version__
from heretic_tui import events as ev
from heretic_tui.commands import (
    Analyse,
    Answering,
    Chat,
    Close,
    Command,
    Export,
    FullAnswers,
    Keep,
    MoreTrials,
    Review,
    Samples,
    Shift,
    TakeUp,
    Try,
)
from heretic_tui.control import Aborted, Control, nothing
from heretic_tui.engine.anatomy.inspect import inspected
from heretic_tui.engine.edits.attach import edits_aside
from heretic_tui.engine.inputs.check import Inputs
from heretic_tui.engine.memory import PeakMemory, free_memory, memory_in_use
from heretic_tui.engine.search.space import Space
from heretic_tui.engine.search.storage import open_study
from heretic_tui.engine.search.study import Search
from heretic_tui.engine.session.analysing import Analysing
from heretic_tui.engine.session.answers import Answerer, Answers, answer_by
from heretic_tui.engine.session.obey import obey_export, obey_shift
from heretic_tui.engine.session.opening import as_it_began, begin_run, known_seed
from heretic_tui.engine.session.phases.baseline import metrics_of
from heretic_tui.engine.session.phases.directions import check_direction_file
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.reviewing import obey_review
from heretic_tui.engine.session.seeding import check_seeds, enter_seeds
from heretic_tui.engine.session.trial_bench import TrialBench
from heretic_tui.engine.session.trials import Trials
from heretic_tui.engine.session.workbench import Workbench, open_workbench
from heretic_tui.engine.session.workers.crew import Crew, begin_crew, memory_beside, wants_workers
from heretic_tui.errors import HereticError, one_line
from heretic_tui.files import user_path
from heretic_tui.run.folder import folder_of_run
from heretic_tui.run.journal import Journal, read_events
from heretic_tui.run.plan import plan_of
from heretic_tui.run.rounds import round_words
from heretic_tui.run.seeds import keep_seeds, seeds_of_run
from heretic_tui.run.state import RunState
from heretic_tui.settings.record import to_record
from heretic_tui.words import doing
from heretic_tui.work import Work

# After this many failures in a row the cause is not in the trials.
_FAILURES = 3

log = logging.getLogger(__name__)


class Session:
    """One run, from the first phase to the last trial.

    Attributes:
        listeners: called with every event, on the thread that runs the session. They must not block.
        state: what all events so far, of earlier sessions too, add up to.
        workbench: the model made ready; None before that, and after an export has dropped it.

    Raises:
        UsageError: when the run folder cannot be used.
    """

    def __init__(self, inputs: Inputs, control: Control) -> None:
        self._inputs = inputs = as_it_began(inputs)
        self._settings = settings = inputs.settings
        self._control = control
        self._work = Work(self.emit, control)
        self.listeners: list[ev.Emit] = []
        self.folder = folder_of_run(user_path(settings.runs_dir), settings.model, inputs.identity)
        self._run = RunInputs.of(settings, inputs.sets, self.folder)
        self._seeds = seeds_of_run(self.folder, settings.seed_trials, user_path(settings.runs_dir))
        look = cache(partial(inspected, settings))
        if not self.folder.seed_trials.is_file():
            check_seeds(self._seeds, settings, look)
        if not self.folder.directions.is_file():
            check_direction_file(settings, look)
        self.workbench: Workbench | None = None
        self.folder.create()
        self.folder.lock()
        try:
            self.state = RunState.replay(read_events(self.folder.events))
            opened = self.state.opened
            self._seed = known_seed(self.folder, settings.seed, opened.seed if opened else None)
            self._journal = Journal(self.folder.events)
            # A damaged study, and a metric that cannot be used, are found here, and not when the model has been loaded.
            open_study(self._storage, self.folder.name)
            self._figures = metrics_of(settings).figures
        except BaseException:
            self.folder.unlock()
            raise
        self._n_trials = settings.n_trials
        # Trials that have to be decoded before the search is done.
        self._undecided = 0
        self._failures = 0
        control.emit = self.emit
        self._answers = Answers(self._answerer, self.state, control, self._work)
        # Those that wait for the trials in hand to end, and those that came between two of their steps.
        self._exports: list[Export] = []
        self._waiting: list[Command] = []
        # The phase that the session has come to after all preparation: search or ready.
        self._at: str | None = None
        self._layers = Analysing(self._run, self.state, control, self._work, self._obey_beside)
        # Edits that are to become trials, and are none yet.
        self._keeps: deque[Keep] = deque()
        # What measures trials in other processes, while a search runs, and whether it is to; the bounds of the search.
        self._crew: Crew | None = None
        self._by_workers = False
        self._space: Space | None = None
        self._making = False
        self._peak = PeakMemory()
        # Screened trials that are to be decoded.
        self._take_ups: deque[TakeUp] = deque()

    @property
    def _storage(self) -> str | Path:
        return self._settings.storage or self.folder.study

    @property
    def records(self) -> int:
        """How many events the journal holds."""
        return self._journal.records

    def emit(self, event: ev.Event) -> None:
        # The journal first: it is the source of truth.
        if event.kept:
            self._journal.append(event)
        self.state.fold(event)
        for listener in self.listeners:
            listener(event)

    def run(self, stay: bool = False) -> str:
        """Everything up to the last trial. Returns the outcome: done or interrupted.

        Args:
            stay: when the search has ended, wait for commands (chat, export, further trials) until the control is
                closed.

        Raises:
            HereticError: when the run cannot go on; all finished work stays in the folder.
        """
        if not stay:
            # Still, another terminal may take control, and the session waits for its commands then.
            self._control.close()
        try:
            self._open()
            self._layers.look()
            self._search()
            while command := self._go_on():
                self._search(planned=isinstance(command, MoreTrials))
        except Aborted:
            return self._end("interrupted")
        except HereticError as error:
            self._end("failed", str(error))
            raise
        except Exception as error:
            log.exception("the run failed")
            reason = f"while {doing(self.state.phase)}: {one_line(error)}"
            self._end("failed", reason)
            raise HereticError(f"{reason} (details: {self.folder.log})") from error
        return self._end("done" if self._searched else "interrupted")

    @property
    def _searched(self) -> bool:
        """Whether the search is done."""
        return self.state.finished >= self._n_trials and not self._undecided

    def close(self) -> None:
        self._journal.close()
        self.folder.unlock()
        # The control knows the session on, and whoever shows the run the control: the model goes.
        self.workbench = None

    def _open(self) -> None:
        settings = self._settings
        keep_seeds(self.folder, self._seeds)
        resumed = begin_run(self.folder, self._inputs, self._seed)
        self.emit(
            ev.RunOpened(
                run=self.folder.name,
                folder=str(self.folder.path),
                model=settings.model,
                settings=to_record(settings),
                seed=self._seed,
                n_trials=self._n_trials,
                resumed=resumed,
                pid=os.getpid(),
                version=__version__,
                figures=list(self._figures),
            )
        )
        for note in self._inputs.notes:
            self._work.note(note, "warning")

    def _end(self, outcome: str, reason: str | None = None) -> str:
        self._answers.stop()
        self._keep_peak()
        self.emit(ev.RunEnded(outcome=outcome, reason=reason))
        return outcome

    def _keep_peak(self) -> None:
        """Keep what the run takes of memory, where that is known."""
        if peak := self._peak.bytes():
            record = self.folder.read_record()
            self.folder.save_record(replace(record, peak_memory=max(peak, record.peak_memory or 0)))

    def _make_ready(self) -> Workbench:
        """The model made ready for trials and chats; nothing is done where it is ready."""
        if self.workbench is None:
            self._making = True
            try:
                with memory_beside(self._crew):
                    self.workbench = open_workbench(self._run, self._work, keep=True)
                self._space = self.workbench.space()
                self.emit(memory_in_use())
            finally:
                self._making = False
                # A model that was dropped was loaded again: what the session was at goes on, and one that waits for
                # commands goes on waiting where that failed.
                if self._at and (self.workbench or self._at == "ready"):
                    self.emit(ev.PhaseStarted(phase=self._at, again=True))
        return self.workbench

    def _answerer(self) -> Answerer:
        """Who answers: a worker while they measure, else the model in this process."""
        return self._crew.answer if self._crew else answer_by(self._make_ready())

    def let_go(self) -> None:
        """Drop the model, and free the memory it takes."""
        self.workbench = None
        free_memory()

    def _let_go_beside_workers(self) -> None:
        """A model that was loaded beside workers takes memory that they could use."""
        if self._crew:
            self.let_go()

    # The search

    def _search(self, planned: bool = True) -> None:
        """Make the model ready and work until the last trial, or until there is to be no more.

        Args:
            planned: whether the search goes on; else only trials that were chosen by hand are measured.
        """
        start, self._at, known = None, None, self.state.ends
        self._failures = 0
        try:
            # None are started for a few trials that were chosen by hand.
            more = planned and self.state.finished < self._n_trials
            self._by_workers = more and wants_workers(self._settings, self._work)
            self._measure_start(self._make_ready())
            start = time.perf_counter()
            self._at = "search"
            self.emit(ev.PhaseStarted(phase="search", again=not planned))
            self._control.serve, self._control.spare = self._serve, self._answers.spare
            while self._run_trials(planned):
                self._export_those_that_wait()
            if self._crew:
                # They end now, and with them what they answer.
                self._answers.finish()
        except Aborted:
            self._answers.stop()
            if self._control.closing:
                raise
            while self._keeps:
                self.emit(ev.TrialKept(id=self._keeps.popleft().id, error="cancelled"))
        finally:
            self._control.serve = self._control.spare = nothing
            self._end_crew()
        if start is not None:
            self.emit(ev.PhaseFinished(phase="search", seconds=round(time.perf_counter() - start, 3)))
        if self.workbench is None and start is None:
            # What was loaded before the run ended takes memory.
            free_memory()
            self._work.note("ended before the model was ready; whatever is asked for next makes it ready")
        if planned and self._searched and self.state.ends > known:
            self._keep_peak()
            if rows := plan_of(self.folder):
                self.emit(ev.RunTook(rows=rows))
        self._at = "ready"
        self.emit(ev.PhaseStarted(phase="ready", again=not planned))

    def _measure_start(self, bench: Workbench) -> None:
        """Measure what the search is on top of, once in a run."""
        if self.state.start is None and (measured := bench.measure_before()):
            rounds = self._run.record.rounds
            edit, rank = round_words(rounds), sum(each.rank for each in rounds)
            self.emit(ev.StartMeasured(edit=edit, figures=measured.figures, prompts=measured.prompts, rank=rank))

    def _run_trials(self, planned: bool) -> bool:
        """Trials, and the commands that come meanwhile, until there is nothing more to do. Returns whether exports
        wait: they drop the model, so the trials in hand end first, and nothing may refer to the model any more."""
        bench, space = self._measuring()
        self.emit(ev.SpaceKnown(ranges=space.ranges, named=space.named))
        study = Search(self._storage, self.folder.name, self._seed, self._settings.n_startup_trials, space)
        trials = Trials(study, bench, self.state, self._control, self._work)
        enter_seeds(study, self.state, space, self._seeds, self._work)
        while True:
            may_ask = not self._control.stopping and not self._exports
            while may_ask and self._keeps:
                trials.keep(self._keeps.popleft())
            while may_ask and self._take_ups:
                trials.take_up(self._take_ups.popleft().trial)
            wanted = self._n_trials, len(self._keeps) + len(self._take_ups)
            ended = trials.next(self._n_trials if planned else 0, may_ask)
            if ended is not None:
                self._count_failures(ended)
                self.emit(memory_in_use())
            # More may have been asked for while it went on.
            obeyed = self._obey_those_that_wait() or wanted != (self._n_trials, len(self._keeps) + len(self._take_ups))
            if self._exports and not trials.in_hand:
                return True
            if ended is None and not obeyed:
                self._undecided = trials.undecided(self._n_trials)
                return False

    def _measuring(self) -> tuple[TrialBench, Space]:
        """What measures trials: the model in this process, or workers, which are started where there are none yet. The
        model is dropped then: they need the memory. It is loaded again for what only it can do."""
        if self._crew is None:
            bench = self._make_ready()
            if self._by_workers:
                # They refer to the model of this process.
                self._answers.finish()
                self._crew = begin_crew(bench, bool(self.state.trials), self._work)
                self._by_workers = self._crew is not None
            if self._crew is None:
                assert self._space
                return TrialBench.here(bench), self._space
            del bench
            self.let_go()
        assert self._space
        return self._crew.bench, self._space

    def _end_crew(self) -> None:
        crew, self._crew = self._crew, None
        if crew:
            crew.close()

    def _count_failures(self, succeeded: bool) -> None:
        """
        Raises:
            HereticError: when too many trials in a row have failed.
        """
        self._failures = 0 if succeeded else self._failures + 1
        if self._failures == _FAILURES:
            reason = [trial.reason for trial in self.state.trials.values() if trial.state == "failed"][-1]
            raise HereticError(f"{_FAILURES} trials in a row failed; the last: {reason}")

    # Commands

    def _go_on(self) -> MoreTrials | Keep | TakeUp | None:
        """Obey commands until one asks for trials, which is returned, or the session is to end (None)."""
        if self._control.closing:
            self._analyse_where_due()
            return None
        self._control.rest()
        self._export_those_that_wait()
        while not self._control.closing:
            if self._keeps or self._take_ups:
                self._control.work()
                return self._keeps[0] if self._keeps else self._take_ups[0]
            if not (command := self._next_command()):
                if self._answers.turn() or self._analyse_where_due():
                    continue
                command = self._control.wait_command()
            self._obey(command)
            if isinstance(command, MoreTrials):
                self._control.work()
                return command
        return None

    def _analyse_where_due(self) -> bool:
        """Analyse the layers where the search is done and that was not. Returns whether it was due."""
        due = self._layers.due(self._searched)
        if due:
            self._layers.analyse(Analyse(), self._make_ready, asked=False)
            self._go_back()
        return due

    def _go_back(self) -> None:
        """What the session was at goes on."""
        if self._at:
            self.emit(ev.PhaseStarted(phase=self._at, again=True))

    def _obey_beside(self) -> None:
        """Models answer before the analysis of the layers, or a review, goes on. All else waits for its end, and an
        analysis that was not asked for gives way."""
        more = True
        while more:
            while command := self._control.next_command():
                if isinstance(command, Answering):
                    self._obey(command)
                else:
                    self._waiting.append(command)
            more = self._answers.turn() and not self._control.closing
        if any(not isinstance(command, Close) for command in self._waiting):
            self._layers.give_way()

    def _next_command(self) -> Command | None:
        return self._waiting.pop(0) if self._waiting else self._control.next_command()

    def _serve(self) -> bool:
        """Between two steps of trials, and while they are held: models answer, a step each, and what trials there are
        to be is noted; while they are held, the layers are analysed. All else waits. Returns whether there is more to
        answer."""
        if self._crew:
            self._crew.hold()
        # While the model is loaded again there is no model to answer. Where workers measure, it is loaded for that.
        if self._making or (self.workbench is None and self._crew is None):
            return False
        while command := self._control.next_command():
            # Never before the first trial.
            if isinstance(command, Analyse | Review) and self._control.paused and self.state.finished:
                with edits_aside():
                    self._obey(command)
            elif isinstance(command, Answering | MoreTrials | Keep | TakeUp):
                self._obey(command)
            else:
                self._waiting.append(command)
        return self._answers.turn()

    def _obey_those_that_wait(self) -> bool:
        """Obey commands until none waits; exports wait. Returns whether there was any."""
        obeyed = False
        while command := self._next_command():
            obeyed = True
            if isinstance(command, Export):
                self._exports.append(command)
            else:
                self._obey(command)
        return obeyed

    def _export_those_that_wait(self) -> None:
        if self._exports:
            # They need the memory of workers too.
            self._answers.finish()
            self._end_crew()
        while self._exports:
            self._obey(self._exports.pop(0))

    def _obey(self, command: Command) -> None:
        match command:
            case MoreTrials():
                self._n_trials = command.n_trials
                self.emit(ev.TargetChanged(n_trials=command.n_trials))
            case Chat() | Samples() | FullAnswers() | Try():
                self._answers.ask(command)
            case Keep():
                self._take_keep(command)
            case TakeUp():
                self._take_ups.append(command)
            case Export():
                # It drops the model, which they refer to.
                self._answers.finish()
                obey_export(command, self.folder, self._settings, self.let_go, self._control, self._work)
            case Shift():
                obey_shift(command, self._make_ready, self.state, self._control, self._work)
                self._let_go_beside_workers()
            case Analyse():
                self._layers.analyse(command, self._make_ready)
                self._let_go_beside_workers()
                self._go_back()
            case Review():
                obey_review(command, self._make_ready, self.state, self._control, self._obey_beside, self._work)
                self._let_go_beside_workers()
                self._go_back()
            case Close():
                pass

    def _take_keep(self, keep: Keep) -> None:
        """Note an edit that is to become a trial, as soon as one can begin; refuse one that cannot."""
        problem = None
        try:
            if not self._control.withdrawn(keep):
                if self._space is None:
                    self._make_ready()
                assert self._space
                problem = self._space.outside(keep.parameters)
        except HereticError as error:
            problem = str(error)
        if problem:
            self.emit(ev.TrialKept(id=keep.id, error=problem))
        elif not self._control.withdrawn(keep):
            self._keeps.append(keep)

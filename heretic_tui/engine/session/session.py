"""A session holds one run folder: it makes the model ready, runs the search, obeys commands, and tells what happens
through events."""

from __future__ import annotations

import logging
import os
import random
import time
from pathlib import Path

from heretic_tui import __version__
from heretic_tui import events as ev
from heretic_tui.commands import Chat, Close, Command, Export, MoreTrials, Shift
from heretic_tui.control import Aborted, Control, nothing
from heretic_tui.engine.edits.attach import attached, edits_aside
from heretic_tui.engine.export.hub import check_access, upload
from heretic_tui.engine.inputs.check import Inputs, versions
from heretic_tui.engine.memory import memory_in_use
from heretic_tui.engine.search.space import Space
from heretic_tui.engine.search.storage import open_study
from heretic_tui.engine.search.study import Search
from heretic_tui.engine.session.chat import answer
from heretic_tui.engine.session.export import export_trial
from heretic_tui.engine.session.trials import Trials
from heretic_tui.engine.session.workbench import Workbench, metrics_of
from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.files import user_path, write_json
from heretic_tui.parameters import Parameters
from heretic_tui.records import as_json
from heretic_tui.run.folder import folder_of_run
from heretic_tui.run.journal import Journal, read_events
from heretic_tui.run.state import RunState
from heretic_tui.settings.record import to_record
from heretic_tui.words import doing, quoted
from heretic_tui.work import Work

# After this many failures in a row it is not the trials that are at fault.
_FAILURES = 3

log = logging.getLogger(__name__)


class Session:
    """One run, from the first phase to the last trial.

    Attributes:
        listeners: called with every event, on the thread that runs the session. They must not block.
        state: what all events so far, of earlier sessions too, add up to.

    Raises:
        UsageError: when the run folder cannot be used.
    """

    def __init__(self, inputs: Inputs, control: Control) -> None:
        self._inputs = inputs
        self._settings = settings = inputs.settings
        self._control = control
        self._work = Work(self.emit, control)
        self.listeners: list[ev.Emit] = []
        self.folder = folder_of_run(user_path(settings.runs_dir), settings.model, inputs.identity)
        self.folder.create()
        self.folder.lock()
        try:
            self.state = RunState.replay(read_events(self.folder.events))
            self._seed = self._known_seed()
            self._journal = Journal(self.folder.events)
            # A damaged study, and a metric that cannot be used, are found here, and not when the model has been loaded.
            open_study(self._storage, self.folder.name)
            self._figures = metrics_of(settings).figures
        except BaseException:
            self.folder.unlock()
            raise
        self._n_trials = settings.n_trials
        self.workbench = Workbench(settings, inputs.sets, self.folder, self._work)
        self._loaded = False
        control.emit = self.emit
        # Those that wait for the trials in hand to end, and those that came while the run was paused.
        self._exports: list[Export] = []
        self._waiting: list[Command] = []

    @property
    def _storage(self) -> str | Path:
        return self._settings.storage or self.folder.study

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
        try:
            self._open()
            self._search(stay)
            while stay and self._go_on():
                self._search(stay)
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
        return self._end("done" if self.state.finished >= self._n_trials else "interrupted")

    def close(self) -> None:
        self._journal.close()
        self.folder.unlock()

    def _open(self) -> None:
        settings, record, seed = self._settings, self.folder.read_record(), self._seed
        self.folder.update_record(
            run=self.folder.name,
            model=settings.model,
            settings=to_record(settings),
            identity=self._inputs.identity,
            seed=seed,
            versions=versions(),
            created=record.get("created", round(time.time())),
        )
        self.emit(
            ev.RunOpened(
                run=self.folder.name,
                folder=str(self.folder.path),
                model=settings.model,
                settings=to_record(settings),
                seed=seed,
                n_trials=self._n_trials,
                resumed=bool(record),
                pid=os.getpid(),
                version=__version__,
                figures=list(self._figures),
            )
        )
        for note in self._inputs.notes:
            self._work.note(note, "warning")

    def _known_seed(self) -> int:
        """The seed of the run: given, or kept when it began, or drawn now.

        Raises:
            UsageError: when those that are known differ: files were changed, or are another run's.
        """
        opened = self.state.opened
        known = {
            "--seed": self._settings.seed,
            "run.json": self.folder.read_record().get("seed"),
            "events.jsonl": opened.seed if opened else None,
        }
        known = {where: seed for where, seed in known.items() if seed is not None}
        if len({repr(seed) for seed in known.values()}) > 1:
            said = ", ".join(f"{quoted(seed)} by {where}" for where, seed in known.items())
            raise UsageError(
                f"the seed of run {self.folder.name} is {said}: put {self.folder.path} back as it was, or begin "
                "another run with --runs-dir or --seed"
            )
        seed = next(iter(known.values()), None)
        if seed is None:
            return random.SystemRandom().randrange(2**31)
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
            raise UsageError(f"{self.folder.record} holds no seed but {quoted(seed)}: put back a copy")
        return seed

    def _end(self, outcome: str, reason: str | None = None) -> str:
        self.emit(ev.RunEnded(outcome=outcome, reason=reason))
        return outcome

    def _make_ready(self) -> None:
        """Load the model and bring it to where trials and chats can begin, unless it is there already."""
        if not self._loaded:
            self.workbench.load()
            self.folder.update_record(clock=self.workbench.model.template.clock.isoformat())
            self.workbench.prepare(layers=True)
            # Which trials are asked for depends on it, so a run keeps to what it began with.
            self.folder.update_record(trials_at_once=self.workbench.trials_at_once)
            self._loaded = True
            self.emit(memory_in_use())

    # The search

    def _search(self, stay: bool) -> None:
        """Make the model ready and work until the last trial, or until there is to be no more."""
        start = None
        try:
            self._make_ready()
            start = time.perf_counter()
            self.emit(ev.PhaseStarted(phase="search"))
            trials = Trials(self._study(), self.workbench, self.state, self._control, self._work)
            self._failures = 0
            self._control.serve = self._obey_while_paused
            while self._go_on_searching(trials):
                pass
        except Aborted:
            if not stay or self._control.closing:
                raise
        finally:
            self._control.serve = nothing
        if start is not None:
            self.emit(ev.PhaseFinished(phase="search", seconds=round(time.perf_counter() - start, 3)))
        if not self._loaded:
            # What was half there takes memory.
            self.workbench.unload()
            self._work.note("ended before the model was ready; whatever is asked for next makes it ready")
        self.emit(ev.PhaseStarted(phase="ready"))

    def _study(self) -> Search:
        model, startup = self.workbench.model, self._settings.n_startup_trials
        space = Space(model.depth, model.anatomy.components)
        return Search(self._storage, self.folder.name, self._seed, startup, space)

    def _go_on_searching(self, trials: Trials) -> bool:
        """One more trial to its end, then the commands that wait. Returns false when there is nothing more to do."""
        ended = trials.next(self._n_trials, may_ask=not self._control.stopping and not self._exports)
        if ended is not None:
            self._failures = 0 if ended else self._failures + 1
            if self._failures == _FAILURES:
                reason = [trial.reason for trial in self.state.trials.values() if trial.state == "failed"][-1]
                raise HereticError(f"{_FAILURES} trials in a row failed; the last: {reason}")
            self.emit(memory_in_use())
        obeyed = False
        while command := self._next_command():
            obeyed = True
            if isinstance(command, Export):
                self._exports.append(command)
            else:
                self._obey(command)
        # An export unloads the model: the trials in hand end first.
        if self._exports and not trials.in_hand:
            obeyed = True
            self._export_those_that_wait()
            self._make_ready()
        return ended is not None or obeyed

    # Commands

    def _go_on(self) -> bool:
        """Obey commands until one asks for more trials (true) or the session is to end (false)."""
        self._control.rest()
        if not self._control.closing:
            self._export_those_that_wait()
        while not self._control.closing:
            command = self._waiting.pop(0) if self._waiting else self._control.wait_command()
            self._obey(command)
            if isinstance(command, MoreTrials):
                self._control.work()
                return True
        return False

    def _next_command(self) -> Command | None:
        return self._waiting.pop(0) if self._waiting else self._control.next_command()

    def _obey_while_paused(self) -> None:
        """A pause holds trials: chats are answered, and how many trials there are to be is noted. All else waits."""
        # While the model is loaded again, after an export, there is no model to answer.
        while self._loaded and (command := self._control.next_command()):
            if isinstance(command, Chat | MoreTrials):
                with edits_aside():
                    self._obey(command)
            else:
                self._waiting.append(command)

    def _export_those_that_wait(self) -> None:
        while self._exports:
            self._obey(self._exports.pop(0))

    def _obey(self, command: Command) -> None:
        match command:
            case MoreTrials():
                self._n_trials = command.n_trials
                self.emit(ev.TargetChanged(n_trials=command.n_trials))
            case Chat():
                self._chat(command)
            case Export():
                self._export(command)
            case Shift():
                self._shift(command)
            case Close():
                pass

    def _chat(self, chat: Chat) -> None:
        control = None
        try:
            # Before its turn: until then it can be withdrawn at once.
            if not self._control.withdrawn(chat):
                self._make_ready()
            if self._control.withdrawn(chat):
                return
            control = self._control.begin(chat)
            if self._control.withdrawn(chat):
                return
            self.emit(ev.ChatStarted(id=chat.id, trial=chat.trial))
            edits = {}
            if chat.trial is not None:
                edits = self.workbench.edits(Parameters.from_json(self.state.trials[chat.trial].parameters))
            with attached(self.workbench.model.anatomy.writers, edits):
                answer(self.workbench.model, chat, Work(self.emit, control))
        except Aborted:
            raise
        except Exception as error:
            # A chat that fails (out of memory, a template that rejects the turns) costs no trial.
            log.exception("the chat failed")
            self.emit(ev.ChatEnded(id=chat.id, reason="failed", error=one_line(error)))
        finally:
            if control:
                self._control.end()

    def _export(self, export: Export) -> None:
        control = self._control.begin(export)
        out = Path(export.out)
        self.emit(ev.ExportStarted(trial=export.trial, out=str(out)))
        # The phases of the second model that an export loads are not those of the run.
        work = Work(self.emit, control).part(ev.Progress, ev.Notice)
        result, url, problem = None, None, None
        try:
            control.checkpoint()
            if export.hub:
                check_access(export.hub, export.token)
            # The memory that the model in hand takes is needed for the whole one that is written.
            if self._loaded:
                self.workbench.unload()
                self._loaded = False
            # Files that were not measured are not what was asked for.
            result = export_trial(
                self.folder,
                export.trial,
                out,
                export.kind,
                export.dora,
                {},
                self._settings,
                work,
                keep_unmeasured=False,
            )
            if export.hub:
                url = upload(out, export.hub, export.private, export.token, work)
        except Aborted:
            kept = "the folder is whole and measured, nothing was uploaded" if result else "nothing was left behind"
            problem = f"cancelled: {kept}"
        except Exception as error:
            log.exception("the export failed")
            problem = one_line(error)
        finally:
            self._control.end()
        self.emit(
            ev.ExportFinished(
                trial=export.trial, out=str(out), result=result.to_json() if result else None, url=url, error=problem
            )
        )

    def _shift(self, shift: Shift) -> None:
        control = self._control.begin(shift)
        problem = None
        try:
            control.checkpoint()
            self._make_ready()
            parameters = Parameters.from_json(self.state.trials[shift.trial].parameters)
            write_json(
                self.folder.shift(shift.trial), as_json(self.workbench.shift(parameters, Work(self.emit, control)))
            )
        except Aborted:
            if not control.aborting:
                raise
            problem = "cancelled"
        except Exception as error:
            log.exception("the look at trial %d failed", shift.trial)
            problem = one_line(error)
        finally:
            self._control.end()
        self.emit(ev.ShiftFound(trial=shift.trial, error=problem))

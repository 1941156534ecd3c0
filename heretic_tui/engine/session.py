"""A session holds one run folder: it makes the model ready, runs the search, obeys commands, and tells what happens
through events."""

from __future__ import annotations

import logging
import os
import random
import shutil
import time
from pathlib import Path

from heretic_tui import __version__
from heretic_tui.engine import events as ev
from heretic_tui.engine.ablation import attached
from heretic_tui.engine.chat import answer
from heretic_tui.engine.control import Aborted, Chat, Close, Command, Control, Export, MoreTrials, Shift
from heretic_tui.engine.hub import check_access, upload
from heretic_tui.engine.inputs import Inputs, versions
from heretic_tui.engine.memory import memory_in_use
from heretic_tui.engine.model import one_line
from heretic_tui.engine.parameters import Parameters
from heretic_tui.engine.search import Search, open_study
from heretic_tui.engine.tasks import export_trial
from heretic_tui.engine.workbench import Workbench
from heretic_tui.errors import HereticError
from heretic_tui.runtime.journal import Journal, read_journal
from heretic_tui.runtime.rundir import RunFolder, run_name, write_json
from heretic_tui.runtime.state import DIED, RunState

# A process that dies in the same trial this often would die in it for ever.
_ATTEMPTS = 5
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
        self.listeners: list[ev.Emit] = []
        self.folder = RunFolder(Path(settings.runs_dir).expanduser() / run_name(settings.model, inputs.identity))
        self.folder.create()
        self.folder.lock()
        try:
            self.state = RunState.replay(read_journal(self.folder.events))
            self._journal = Journal(self.folder.events)
            # A damaged study is found here, and not when the model has been loaded.
            open_study(self._storage, self.folder.name)
        except BaseException:
            self.folder.unlock()
            raise
        self._n_trials = settings.n_trials
        self.workbench = Workbench(settings, inputs.sets, self.folder, self.emit, control)
        self._loaded = False

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
            self._make_ready()
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
            self._end("failed", one_line(error))
            raise
        return self._end("done" if self.state.finished >= self._n_trials else "interrupted")

    def close(self) -> None:
        self._journal.close()
        self.folder.unlock()

    def _open(self) -> None:
        settings, record = self._settings, self.folder.read_record()
        seed = record.get("seed", settings.seed)
        if seed is None:
            seed = random.SystemRandom().randrange(2**31)
        self._seed = seed
        self.folder.update_record(
            run=self.folder.name,
            model=settings.model,
            settings=settings.model_dump(mode="json"),
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
                settings=settings.model_dump(mode="json"),
                seed=seed,
                n_trials=self._n_trials,
                resumed=bool(record),
                pid=os.getpid(),
                version=__version__,
                time=round(time.time(), 3),
            )
        )
        for note in self._inputs.notes:
            self.emit(ev.Notice(level="warning", text=note))

    def _end(self, outcome: str, reason: str | None = None) -> str:
        self.emit(ev.RunEnded(outcome=outcome, reason=reason, time=round(time.time(), 3)))
        return outcome

    def _make_ready(self) -> None:
        """Load the model and bring it to where trials and chats can begin, unless it stands there."""
        if not self._loaded:
            self.workbench.load()
            self.workbench.prepare(layers=True)
            self._loaded = True
            self.emit(memory_in_use())

    # The search

    def _search(self, stay: bool) -> None:
        self._make_ready()
        model, settings = self.workbench.model, self._settings
        start = time.perf_counter()
        self.emit(ev.PhaseStarted(phase="search"))
        study = Search(
            self._storage,
            self.folder.name,
            self._seed,
            settings.n_startup_trials,
            model.depth,
            model.anatomy.components,
        )
        self._reconcile(study)
        failures = 0
        try:
            while not self._control.stopping and (number := self.state.finished) < self._n_trials:
                self._control.checkpoint(self.emit)
                failures = 0 if self._trial(study, number) else failures + 1
                if failures == _FAILURES:
                    reason = self.state.trials[number].reason
                    raise HereticError(f"{_FAILURES} trials in a row failed; the last: {reason}")
                self.emit(memory_in_use())
                while command := self._control.next_command():
                    self._obey(command)
                self._make_ready()
        except Aborted:
            if not stay or self._control.closing:
                raise
        seconds = round(time.perf_counter() - start, 3)
        self.emit(ev.PhaseFinished(phase="search", seconds=seconds))
        self.emit(ev.PhaseStarted(phase="ready"))

    # Commands

    def _go_on(self) -> bool:
        """Obey commands until one asks for more trials (true) or the session is to end (false)."""
        self._control.rearm()
        while not self._control.closing:
            command = self._control.wait_command()
            self._obey(command)
            if isinstance(command, MoreTrials):
                return True
        return False

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
        control = self._control.begin(chat)
        if control.aborting:
            self.emit(ev.ChatEnded(id=chat.id, reason="stopped"))
            self._control.end()
            return
        try:
            self._make_ready()
            self.emit(ev.ChatStarted(id=chat.id, trial=chat.trial))
            edits = {}
            if chat.trial is not None:
                edits = self.workbench.edits(Parameters.from_json(self.state.trials[chat.trial].parameters))
            with attached(self.workbench.model.anatomy.writers, edits):
                answer(self.workbench.model, chat, self.emit, control)
        except Aborted:
            raise
        except Exception as error:
            # A chat that fails (out of memory, a template that rejects the turns) costs no trial.
            log.exception("the chat failed")
            self.emit(ev.ChatEnded(id=chat.id, reason="failed", error=one_line(error)))
        finally:
            self._control.end()

    def _export(self, export: Export) -> None:
        control = self._control.begin(export)
        out = Path(export.out).expanduser()
        self.emit(ev.ExportStarted(trial=export.trial, out=str(out)))

        def tell(event: ev.Event) -> None:
            # The phases of the second model that an export loads are not those of the run.
            if isinstance(event, ev.Progress | ev.Notice):
                self.emit(event)

        result, url, problem = None, None, None
        try:
            control.checkpoint()
            if export.hub:
                check_access(export.hub, export.token)
            # The memory that the model in hand takes is needed for the whole one that is written.
            if self._loaded:
                self.workbench.unload()
                self._loaded = False
            result = export_trial(self.folder, export.trial, out, export.kind, export.dora, {}, tell, control)
            if export.hub:
                url = upload(out, export.hub, export.private, export.token, tell, control)
        except Aborted:
            if result:
                problem = "cancelled: the folder is whole and measured, nothing was uploaded"
            else:
                # It was not there before: files that nobody measured are not what was asked for.
                shutil.rmtree(out, ignore_errors=True)
                problem = "cancelled: nothing was left behind"
        except Exception as error:
            log.exception("the export failed")
            problem = one_line(error)
        finally:
            self._control.end()
        self.emit(ev.ExportFinished(trial=export.trial, out=str(out), result=result, url=url, error=problem))

    def _shift(self, shift: Shift) -> None:
        control = self._control.begin(shift)
        problem = None
        try:
            control.checkpoint()
            self._make_ready()
            parameters = Parameters.from_json(self.state.trials[shift.trial].parameters)
            write_json(self.folder.shift(shift.trial), self.workbench.shift(parameters, control))
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

    def _trial(self, study: Search, number: int) -> bool:
        """Run one trial; whether it succeeded."""
        parameters = study.ask(number)
        earlier = self.state.trials.get(number)
        attempt = 1 if earlier is None else earlier.attempts + (earlier.reason == DIED)
        start = time.perf_counter()
        if attempt > _ATTEMPTS:
            self._fail(study, number, start, f"the process died {_ATTEMPTS} times in this trial")
            return False
        self.emit(ev.TrialStarted(number=number, parameters=parameters.to_json(), attempt=attempt))
        self._control.in_trial = True
        try:
            measured = self.workbench.measure(parameters)
        except Aborted:
            self.emit(ev.TrialFinished(number=number, state="stopped", seconds=_since(start), reason="interrupted"))
            raise
        except Exception as error:
            log.exception("trial %d failed", number)
            self._fail(study, number, start, one_line(error))
            return False
        finally:
            self._control.in_trial = False
        self.workbench.refusals.save(self.folder, number)
        # The event before the study: what the journal holds is what happened, the study is told again on resume.
        self.emit(
            ev.TrialFinished(
                number=number,
                state="complete",
                kl_divergence=measured.kl_divergence,
                refusals=measured.refusals,
                prompts=measured.prompts,
                seconds=_since(start),
                stages=measured.stages,
            )
        )
        study.tell(number, measured.kl_divergence, measured.refusals)
        return True

    def _fail(self, study: Search, number: int, start: float, reason: str) -> None:
        self.emit(ev.TrialFinished(number=number, state="failed", seconds=_since(start), reason=reason))
        study.fail(number)

    def _reconcile(self, study: Search) -> None:
        """Bring the journal and the study together: a kill, or a lost file, may have left either behind."""
        number = 0
        while number < study.count or number < len(self.state.trials):
            trial = self.state.trials.get(number)
            if trial and trial.state in ("complete", "failed"):
                if study.is_open(number):
                    study.ask(number)
                    if trial.state == "failed":
                        study.fail(number)
                    else:
                        study.tell(number, trial.kl_divergence or 0.0, trial.refusals or 0)
            elif result := study.result(number):
                self.emit(ev.TrialStarted(number=number, parameters=study.parameters(number).to_json()))
                self.emit(
                    ev.TrialFinished(
                        number=number,
                        state="complete",
                        kl_divergence=result[0],
                        refusals=result[1],
                        prompts=len(self._inputs.sets["bad_evaluation_prompts"]),
                    )
                )
            else:
                return
            number += 1


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 3)

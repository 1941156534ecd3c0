"""The commands of a running session whose results lie on the disk: an export, what a trial does to first tokens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from heretic_tui.commands import Export, Shift
from heretic_tui.control import Aborted, Control
from heretic_tui.engine.export.hub import check_access, upload
from heretic_tui.engine.export.steps import Steps
from heretic_tui.engine.session.export import export_trial
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.errors import one_line
from heretic_tui.events import ExportFinished, ExportStarted, ExportStep, Notice, Progress, ShiftFound
from heretic_tui.files import write_json
from heretic_tui.records import as_json
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.state import RunState
from heretic_tui.settings.schema import Settings
from heretic_tui.work import Work

log = logging.getLogger(__name__)


def obey_export(
    export: Export, folder: RunFolder, own: Settings, let_go: Callable[[], None], control: Control, work: Work
) -> None:
    """Write a trial to a folder, and to the Hub where that is asked for.

    Args:
        own: the user's settings.
        let_go: drops the model in memory: its memory is needed for the files that are loaded to be measured.
    """
    task = control.begin(export)
    out = Path(export.out)
    work.tell(ExportStarted(trial=export.trial, out=str(out)))
    # The phases of the second model that an export loads are not those of the run.
    part = work.under(task).part(Progress, Notice, ExportStep)
    result, url, problem = None, None, None
    try:
        with control.acting(task):
            part.checkpoint()
            if export.hub:
                check_access(export.hub, export.token)
            let_go()
            # An export that was not measured counts as failed.
            result = export_trial(
                folder,
                export.trial,
                out,
                export.kind,
                export.dora,
                {},
                own,
                part,
                requantize=export.requantize,
                keep_unmeasured=False,
            )
            if export.hub:
                with Steps(export.trial, part).taken("upload") as step:
                    step.said = url = upload(out, export.hub, export.private, export.token, part)
    except Aborted:
        kept = "the folder is whole and measured, nothing was uploaded" if result else "nothing was left behind"
        problem = f"cancelled: {kept}"
    except Exception as error:
        log.exception("the export failed")
        problem = one_line(error)
    finally:
        control.end(export)
    record = result.to_json() if result else None
    work.tell(ExportFinished(trial=export.trial, out=str(out), result=record, url=url, error=problem))


def obey_shift(shift: Shift, ready: Callable[[], Workbench], state: RunState, control: Control, work: Work) -> None:
    """Find what a trial does to first tokens, and keep it in the run folder.

    Args:
        ready: makes the model ready where it is not.

    Raises:
        Aborted: from the session's control, not from that of the command.
    """
    task = control.begin(shift)
    problem = None
    try:
        with control.acting(task):
            task.checkpoint()
            bench = ready()
            parameters = state.trial(shift.trial).required_parameters
            write_json(bench.run.folder.shift(shift.trial), as_json(bench.shift(parameters, work.under(task))))
    except Aborted:
        if not task.aborting:
            raise
        problem = "cancelled"
    except Exception as error:
        log.exception("the look at trial %d failed", shift.trial)
        problem = one_line(error)
    finally:
        control.end(shift)
    work.tell(ShiftFound(trial=shift.trial, error=problem))

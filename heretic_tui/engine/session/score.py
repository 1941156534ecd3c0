"""One edit measured, apart from a search; what a trial does to first tokens."""

from __future__ import annotations

from typing import Any

from heretic_tui import events as ev
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.session.scratch import scratch_folder
from heretic_tui.engine.session.workbench import Measurement, Workbench
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import write_json
from heretic_tui.parameters import Parameters
from heretic_tui.records import as_json
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.overview import complete_trial
from heretic_tui.run.results import SetShift
from heretic_tui.settings.record import from_record
from heretic_tui.settings.schema import Settings
from heretic_tui.work import Work


def score(settings: Settings, parameters: Parameters | None, work: Work) -> dict[str, Any]:
    """Measure one edit, or the base model for None, with the code that measures a trial.

    Returns:
        `figures` of the edit and of the `base` model by key, `prompts`, and `seconds` by stage.

    Raises:
        HereticError: for bad input, or a model that cannot be measured.
    """
    inputs = check_inputs(settings)
    for note in inputs.notes:
        work.note(note, "warning")
    stages: dict[str, float] = {}

    def listen(event: ev.Event) -> None:
        if isinstance(event, ev.PhaseFinished):
            stages[event.phase] = event.seconds

    with scratch_folder() as folder:
        bench = Workbench(inputs.settings, inputs.sets, folder, work.heard_by(listen))
        bench.load()
        bench.prepare(directions=parameters is not None)
        measured = bench.measure(parameters)
        return {**figures_of(measured), "base": bench.base_figures, "seconds": {**stages, **measured.stages}}


def shift_of_trial(folder: RunFolder, number: int, own: Settings, work: Work) -> dict[str, SetShift]:
    """What a trial of a run does to first tokens (engine/shift.py), also written to the run folder.

    Args:
        own: this person's settings: they allow what the run's record cannot.

    Raises:
        UsageError: no such trial, or a model or prompts that are not those of the run any more.
    """
    _, trial = complete_trial(folder, number)
    record = folder.read_record("settings", "identity")
    settings = from_record(record["settings"], own, str(folder.record))
    inputs = check_inputs(settings)
    if changed := [what for what in ("model", "prompts") if inputs.identity[what] != record["identity"].get(what)]:
        raise UsageError(f"the {changed[0]} changed since the run was made: start a new run")
    bench = Workbench(settings, inputs.sets, folder, work, own=False)
    bench.load()
    bench.prepare(baseline=False)
    found = bench.shift(Parameters.from_json(trial.parameters), work)
    try:
        write_json(folder.shift(number), as_json(found))
    except HereticError as error:
        work.note(f"this is not kept: {error}", "warning")
    return found


def figures_of(measured: Measurement) -> dict[str, Any]:
    return {"figures": measured.figures, "prompts": measured.prompts}

"""One edit measured, apart from a search; what a trial does to first tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from heretic_tui import events as ev
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.scratch import scratch_folder
from heretic_tui.engine.session.workbench import open_baseline, open_edit_bench, open_workbench
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import write_json
from heretic_tui.parameters import Parameters
from heretic_tui.records import as_json
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.overview import complete_trial
from heretic_tui.run.record import needed
from heretic_tui.run.results import SetShift
from heretic_tui.settings.record import from_record
from heretic_tui.settings.schema import Settings
from heretic_tui.work import Work


@dataclass(frozen=True)
class Score:
    """One edit measured.

    Attributes:
        figures: of the edit, by key.
        prompts: bad evaluation prompts.
        base: figures of the base model.
        seconds: by phase and stage.
    """

    figures: Mapping[str, float]
    prompts: int
    base: Mapping[str, float]
    seconds: Mapping[str, float]


def score(settings: Settings, parameters: Parameters | None, work: Work) -> Score:
    """Measure one edit, or the base model for None, with the code that measures a trial.

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
        run, heard = RunInputs.of(inputs.settings, inputs.sets, folder), work.heard_by(listen)
        if parameters:
            bench = open_workbench(run, heard)
            baseline, measured = bench.baseline, bench.measure(parameters)
        else:
            baseline = open_baseline(run, heard)
            measured = baseline.measure_as_it_is()
        return Score(measured.figures, measured.prompts, baseline.figures, {**stages, **measured.stages})


def shift_of_trial(folder: RunFolder, number: int, own: Settings, work: Work) -> dict[str, SetShift]:
    """What a trial of a run does to first tokens (engine/analysis/first_token_shift.py), also written to its folder.

    Args:
        own: the user's settings: they allow what the run's record cannot.

    Raises:
        UsageError: no such trial, or a model or prompts that are not those of the run any more.
    """
    _, trial = complete_trial(folder, number)
    record = folder.read_record()
    identity = needed(record.identity, "identity", folder.record)
    settings = from_record(needed(record.settings, "settings", folder.record), own, str(folder.record))
    inputs = check_inputs(settings)
    if changed := [what for what in ("model", "prompts") if inputs.identity[what] != identity.get(what)]:
        raise UsageError(f"the {changed[0]} changed since the run was made: start a new run")
    bench = open_edit_bench(RunInputs.of(settings, inputs.sets, folder, own=False), work)
    found = bench.shift(trial.required_parameters, work)
    try:
        write_json(folder.shift(number), as_json(found))
    except HereticError as error:
        work.note(f"this is not kept: {error}", "warning")
    return found

"""One edit measured, apart from a search; what a trial does to first tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heretic_tui import events as ev
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.session.opening import recorded_settings, unchanged_inputs
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.scratch import scratch_folder
from heretic_tui.engine.session.workbench import open_baseline, open_edit_bench, open_workbench
from heretic_tui.errors import HereticError
from heretic_tui.files import user_path, write_json
from heretic_tui.parameters import Parameters
from heretic_tui.records import as_json
from heretic_tui.run.earlier import run_alike
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.overview import complete_trial
from heretic_tui.run.results import SetShift
from heretic_tui.run.rounds import keep_base
from heretic_tui.settings.schema import Settings
from heretic_tui.work import Work

# Settings that decide how a search goes and how directions become edits, and nothing that is found before: the edit
# method by its former name, which identities have.
_AFTER = frozenset(
    {"seed", "n_startup_trials", "early_stop", "screening", "objectives", "edit_method", "row_normalization"}
    | {"component_kinds", "account_for_post_norm", "full_normalization_lora_rank", "direction_weights"}
    | {"search_space", "search_bounds", "seed_trials"}
)


@dataclass(frozen=True)
class Score:
    """One edit measured, or the base model.

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


def score(settings: Settings, edits: Sequence[Parameters], work: Work) -> list[Score]:
    """Measure edits, or the base model where there are none, with the code that measures trials. What a run of the same
    model, prompts and settings found before its search is taken from its folder.

    Raises:
        HereticError: for bad input, or a model that cannot be measured.
    """
    inputs = check_inputs(settings)
    for note in inputs.notes:
        work.note(note, "warning")
    alike = run_alike(user_path(settings.runs_dir), inputs.identity, _AFTER)
    if alike:
        work.note(f"what run {alike.name} found of this model is used")
    phases: dict[str, float] = {}

    def listen(event: ev.Event) -> None:
        if isinstance(event, ev.PhaseFinished):
            phases[event.phase] = event.seconds

    with scratch_folder(alike) as folder:
        keep_base(folder, inputs.base)
        run, heard = RunInputs.of(inputs.settings, inputs.sets, folder), work.heard_by(listen)
        if not edits:
            base = open_baseline(run, heard)
            return [Score(base.figures, len(base.evaluation.bad), base.figures, phases)]
        bench = open_workbench(run, heard)
        figures = bench.baseline.figures
        found = bench.measure_all(edits)
        return [Score(each.figures, each.prompts, figures, {**phases, **each.stages}) for each in found]


def shift_of_trial(folder: RunFolder, number: int, own: Settings, work: Work) -> dict[str, SetShift]:
    """What a trial of a run does to first tokens (engine/analysis/first_token_shift.py), also written to its folder.

    Args:
        own: the user's settings: they allow what the run's record cannot.

    Raises:
        UsageError: no such trial, or a model or prompts that are not those of the run any more.
    """
    _, trial = complete_trial(folder, number)
    settings = recorded_settings(folder, {}, own)
    inputs = unchanged_inputs(folder, settings)
    bench = open_edit_bench(RunInputs.of(settings, inputs.sets, folder, own=False), work)
    found = bench.shift(trial.required_parameters, work)
    try:
        write_json(folder.shift(number), as_json(found))
    except HereticError as error:
        work.note(f"this is not kept: {error}", "warning")
    return found

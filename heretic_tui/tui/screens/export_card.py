"""The model card of an export that has not been made yet, as far as it is known."""

from __future__ import annotations

from heretic_tui.run.exports import ExportRecord, MeasuredFigures, TrialFigures
from heretic_tui.run.search_summary import search_summary
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.settings.older import as_now
from heretic_tui.tui.run_view import RunView
from heretic_tui.tui.screens.export_text import Form


def expected_record(view: RunView, trial: TrialRecord, form: Form) -> ExportRecord | None:
    """What the card of a trial is made from before its export; None where the run is not known."""
    state = view.state
    if state.opened is None:
        return None
    found = state.coverage
    coverage = f"{found.editable} of {found.found} matrices that write to the residual stream" if found else ""
    commit = state.opened.settings.get("model_commit")
    base = state.measured_base
    return ExportRecord(
        model=state.opened.model,
        model_commit=str(commit) if commit else None,
        settings=as_now(state.opened.settings, "the journal"),
        identity={},
        batch_size=1,
        response_prefix="",
        kind=form.kind,
        dora=form.dora,
        requantized=form.requantize,
        parameters=trial.parameters.to_json() if trial.parameters else {},
        rank=state.rank_of(trial.parameters),
        rounds=view.folder.read_record().rounds if view.folder and state.start else (),
        coverage=coverage,
        fused_experts=form.kind == "adapter" and found is not None and found.fused,
        figures=state.figures,
        base=MeasuredFigures(figures=base.figures if base else {}, prompts=base.prompts if base else None),
        trial=TrialFigures(number=trial.number, figures=trial.measured_figures, prompts=trial.prompts),
        files={},
        note=view.annotations.note(trial.number) or None,
        approximate=form.approximate,
        search=search_summary(state),
        not_measured="they will be, when they are written",
    )

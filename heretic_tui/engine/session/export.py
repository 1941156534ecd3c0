"""A trial written as a model or an adapter, loaded again, and measured."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from heretic_tui.control import Aborted
from heretic_tui.engine.checkpoint.source import commit_of
from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.engine.export import record as records
from heretic_tui.engine.export.folder import check_place, file_hashes
from heretic_tui.engine.export.steps import Steps
from heretic_tui.engine.inputs.check import check_inputs, versions
from heretic_tui.engine.inputs.prompts import PromptSets
from heretic_tui.engine.session.opening import recorded_settings
from heretic_tui.engine.session.phases.baseline import Measurement
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.workbench import open_baseline
from heretic_tui.engine.session.writing import Writing, Written, edit_methods, written_beside
from heretic_tui.errors import UsageError, one_line
from heretic_tui.figures import REFUSALS
from heretic_tui.files import write_json
from heretic_tui.report.model_card import write_card
from heretic_tui.run.annotations import Annotations, read_annotations
from heretic_tui.run.card_text import read_card_text
from heretic_tui.run.corrections import correct
from heretic_tui.run.exports import ExportKind, ExportRecord, MeasuredFigures, Overruled, TrialFigures
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.overview import complete_trial
from heretic_tui.run.places import remember
from heretic_tui.run.record import needed
from heretic_tui.run.reviews import read_review, reviewed_figures
from heretic_tui.run.rounds import Base, base_of
from heretic_tui.run.search_summary import search_summary
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.settings.schema import Settings
from heretic_tui.words import bits_of, counted
from heretic_tui.work import Work

log = logging.getLogger(__name__)


def export_trial(  # noqa: PLR0913 - a trial, a place, a form, and how it is done
    folder: RunFolder,
    number: int,
    out: Path,
    kind: ExportKind,
    dora: bool,
    changes: Mapping[str, object],
    own: Settings,
    work: Work,
    *,
    requantize: bool = False,
    keep_unmeasured: bool = True,
    card: str | None = None,
) -> ExportRecord:
    """Write a trial of a run to `out`, load what was written, and score it. Nothing is written to the run folder.

    Args:
        own: the user's settings: they allow what the run's record cannot.
        changes: settings that are to differ from the run's; such as decide how weights are written, not which.
        requantize: whether edited matrices are quantised again, as those of the source are.
        keep_unmeasured: whether `out` stays where an abort ends the measuring of it.
        card: the person's own text for the card; None: the one that is kept for the trial in the run folder.

    Returns:
        The record that is written as reproduce.json, with `exported` figures, or `not_measured` with the reason.

    Raises:
        UsageError: no such trial, `out` there already, no space, or a model that changed since the run.
        Aborted: from the control; where `out` was not written yet, nothing is left of it.
    """
    record = folder.read_record()
    identity = needed(record.identity, "identity", folder.record)
    state, trial = complete_trial(folder, number)
    base, coverage = state.base, state.coverage
    if base is None or coverage is None:
        raise UsageError(f"{folder.events} does not say what the base model is: put back a copy of it")
    settings = recorded_settings(folder, changes, own)
    check_place(out)
    sets, reason = _sets_of(settings, identity, base_of(folder), work)
    steps = Steps(number, work)
    writing = Writing(settings, folder, trial.required_parameters, out, kind, dora, requantize=requantize)
    # Files in `out` must never be without the warning of the card.
    with written_beside(writing, steps, work) as (beside, written):
        with steps.taken("describe") as step:
            hashes = file_hashes(beside, work)
            step.said = f"SHA-256 of {counted(len(hashes), 'file')}"
        annotations, rounds = read_annotations(folder), records.rounds_passed_on(folder, settings, own)
        result = ExportRecord(
            **records.sources(settings),
            model_commit=commit_of(settings),
            identity=dict(identity),
            seed=needed(record.seed, "seed", folder.record),
            batch_size=written.batch_size,
            response_prefix=written.response_prefix,
            clock=written.clock,
            reading=folder.read_record().reading,
            dtype=written.dtype,
            loaded_as=written.loaded_as,
            streamed=written.streamed,
            not_streamed=written.not_streamed,
            written_as=written.written_as,
            requantized=requantize,
            fused_experts=written.fused_experts,
            run=folder.name,
            kind=kind,
            dora=dora,
            parameters=trial.required_parameters.to_json(),
            rank=written.rank,
            rounds=rounds,
            edited=written.matrices,
            left_alone=written.left_alone,
            coverage=f"{coverage.editable} of {coverage.found} matrices that write to the residual stream",
            figures=state.figures,
            base=MeasuredFigures(figures=base.figures, prompts=base.prompts),
            trial=TrialFigures(
                number=number,
                figures=trial.figures,
                prompts=trial.prompts,
                by_hand=trial.by_hand,
                origin=trial.origin,
            ),
            versions=versions(settings.quantization),
            files=hashes,
            note=annotations.note(number) or None,
            overruled=_overruled(state, trial, folder, annotations),
            search=search_summary(state),
            review=reviewed_figures(read_review(folder.review, settings.review_checks), number),
            approximate=_approximate(
                settings, edit_methods(folder, settings), sum(each.rank for each in rounds), kind, dora, written
            ),
            not_measured=reason or "the measurement was interrupted",
        )
        describe(beside, result, _own_text(folder, number, card, work))
    remember(identity, records.places(settings))
    for each in folder.read_record().rounds:
        remember(each.identity, records.places(records.settings_of_round(each, settings, own, str(folder.record))))
    if sets is not None:
        try:
            measured = score_files(settings, sets, folder, out, kind, steps, work)
        except Aborted:
            if not keep_unmeasured:
                shutil.rmtree(out, ignore_errors=True)
            raise
        except Exception as error:
            # The files are complete, whether they can be measured or not.
            log.exception("the export could not be measured")
            result = replace(result, not_measured=records.without_paths(one_line(error)))
            work.note(f"the export was not measured: {one_line(error)}", "warning")
        else:
            exported = MeasuredFigures(figures=measured.figures, prompts=measured.prompts)
            result = replace(result, exported=exported, not_measured=None)
        # Once more from the folder: the person may write while the files are measured.
        describe(out, result, _own_text(folder, number, card, work))
    return result


def _overruled(state: RunState, trial: TrialRecord, folder: RunFolder, annotations: Annotations) -> Overruled | None:
    """What people made of the judge's verdicts on the responses of the trial and of the base model. (From here on the
    state has their counts in place of those that were measured.)"""
    correct(state, folder, annotations, trial.number)
    own, base = trial.correction, state.base_correction
    if (own is None and base is None) or state.base is None:
        return None
    return Overruled(
        trial=own.overruled if own else 0,
        base=base.overruled if base else 0,
        broken=own.broken if own else 0,
        trial_refusals=trial.figures.get(REFUSALS, 0),
        base_refusals=state.base.figures.get(REFUSALS, 0),
    )


def _approximate(
    settings: Settings, methods: Sequence[str], before: int, kind: ExportKind, dora: bool, written: Written
) -> str | None:
    """Why the files cannot be measured as the trial was, but for rounding; None where they are exactly its edit.

    Args:
        methods: edit methods of all rounds.
        before: directions of a layer that earlier rounds take out.
    """
    if kind == "adapter":
        nearest = any(edit_method(name).dora for name in methods) and not dora
        rank = max(settings.full_normalization_lora_rank, written.rank + before)
        exact = "merged weights are" if written.fused_experts else "a DoRA is"
        return f"the LoRA of rank {rank} that comes nearest to the edit; {exact} exact" if nearest else None
    if written.requantized:
        return f"the edited matrices are quantised again as {written.requantized}, which rounds them"
    if settings.quantization == "none":
        return None
    bits = bits_of(settings.quantization)
    return (
        f"the run measured edits beside {bits}-bit weights; these files are whole, and were measured with edited "
        f"{bits}-bit ones"
    )


def _own_text(folder: RunFolder, number: int, given: str | None, work: Work) -> str:
    if given is not None:
        return given
    try:
        return read_card_text(folder, number)
    except UsageError as error:
        # No reason to lose the export.
        work.note(f"your text for the card is left out: {error}", "warning")
        return ""


def describe(out: Path, record: ExportRecord, own: str = "") -> None:
    """Write record and card.

    Args:
        own: the person's part of the card.
    """
    write_json(out / "reproduce.json", record.to_json())
    write_card(out, record, own)


def score_files(
    settings: Settings, sets: PromptSets, folder: RunFolder, out: Path, kind: ExportKind, steps: Steps, work: Work
) -> Measurement:
    """Measure what lies in `out` against the run's own baseline, quantised as the run was."""
    source = settings if kind == "adapter" else settings.model_copy(update={"model": str(out), "model_commit": None})
    run = RunInputs.of(source, sets, folder, own=False)
    with steps.taken("load"):
        baseline = open_baseline(run, work, out if kind == "adapter" else None)
    with steps.taken("measure") as step:
        measured = baseline.measure_as_it_is()
        step.said = f"{measured.prompts} + {len(sets['good_evaluation_prompts'])} prompts"
    return measured


def _sets_of(
    settings: Settings, identity: Mapping[str, object], base: Base, work: Work
) -> tuple[PromptSets | None, str | None]:
    """The run's prompts, or None and why the export cannot be measured. A model that changed is an error: its
    weights are not those that the directions were found in."""
    try:
        inputs = check_inputs(settings, base)
    except UsageError as error:
        # The error may name paths, so it is in neither the card nor the record.
        reason, details = "the run's prompts or its model cannot be read", f" ({error})"
    else:
        if inputs.identity["model"] != identity.get("model"):
            raise UsageError(f"{settings.model} has changed since the run was made: start a new run on it")
        if inputs.identity["prompts"] == identity.get("prompts"):
            return inputs.sets, None
        reason, details = "the prompts have changed since the run was made", ""
    work.note(f"the export will not be measured: {reason}{details}", "warning")
    return None, reason

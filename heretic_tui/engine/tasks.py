"""Work apart from a search: score one edit, export a trial, build an exported model again."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from heretic_tui.engine import events as ev
from heretic_tui.engine import record as records
from heretic_tui.engine.card import write_card
from heretic_tui.engine.checkpoint import refuse_foreign_links
from heretic_tui.engine.completeness import complete
from heretic_tui.engine.control import Aborted, Control
from heretic_tui.engine.export import (
    check_place,
    check_space,
    file_hashes,
    whole_or_absent,
    write_adapter,
    write_merged,
)
from heretic_tui.engine.inputs import SETS, Inputs, check_inputs, versions
from heretic_tui.engine.loading import commit_of, save_processor, source_folder
from heretic_tui.engine.parameters import Parameters
from heretic_tui.engine.scratch import scratch_folder
from heretic_tui.engine.workbench import Measurement, PromptSets, Workbench
from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.runtime.files import write_json
from heretic_tui.runtime.journal import read_events
from heretic_tui.runtime.places import remember
from heretic_tui.runtime.rundir import RunFolder
from heretic_tui.runtime.state import RunState, TrialRecord
from heretic_tui.runtime.text import quoted
from heretic_tui.settings import Settings, from_record

log = logging.getLogger(__name__)

Kind = Literal["merged", "adapter"]


def score(settings: Settings, parameters: Parameters | None, emit: ev.Emit, control: Control) -> dict[str, Any]:
    """Measure one edit, or the base model for None, with the code that measures a trial.

    Returns:
        kl_divergence, refusals, prompts, base_refusals, and `seconds` by stage.

    Raises:
        HereticError: for bad input, or a model that cannot be measured.
    """
    inputs = check_inputs(settings)
    for note in inputs.notes:
        emit(ev.Notice(level="warning", text=note))
    stages: dict[str, float] = {}

    def listen(event: ev.Event) -> None:
        if isinstance(event, ev.PhaseFinished):
            stages[event.phase] = event.seconds
        emit(event)

    with scratch_folder() as folder:
        bench = Workbench(inputs.settings, inputs.sets, folder, listen, control)
        bench.load()
        bench.prepare(directions=parameters is not None)
        measured = bench.measure(parameters)
        return {**_figures(measured), "base_refusals": bench.base_refusals, "seconds": {**stages, **measured.stages}}


def export_trial(
    folder: RunFolder,
    number: int,
    out: Path,
    kind: Kind,
    dora: bool,
    changes: Mapping[str, Any],
    own: Settings,
    emit: ev.Emit,
    control: Control,
    keep_unmeasured: bool = True,
) -> dict[str, Any]:
    """Write a trial of a run to `out`, load what was written, and score it. Nothing is written to the run folder.

    Args:
        own: this person's settings: they allow what the run's record cannot.
        changes: settings that are to differ from the run's; such as decide how weights are written, not which.
        keep_unmeasured: whether `out` stays where an abort ends the measuring of it.

    Returns:
        The record that is written as reproduce.json, with `exported` figures, or `not_measured` with the reason.

    Raises:
        UsageError: no such trial, `out` there already, no space, or a model that changed since the run.
        Aborted: from the control; where `out` was not written yet, nothing is left of it.
    """
    record = folder.read_record("settings", "identity", "seed")
    state, trial = _complete_trial(folder, number)
    base, coverage = state.base, state.coverage
    if base is None or coverage is None:
        raise UsageError(f"{folder.events} does not say what the base model is: put back a copy of it")
    settings = from_record({**record["settings"], **changes}, own, str(folder.record))
    check_place(out)
    sets, reason = _sets_of(settings, record, emit)
    bench = _build(settings, folder, Parameters.from_json(trial.parameters), out, kind, dora, emit, control)
    result: dict[str, Any] = {
        "format": records.FORMAT,
        **records.sources(settings),
        "model_commit": commit_of(settings),
        "identity": record["identity"],
        "seed": record["seed"],
        "batch_size": bench.model.batch_size,
        "response_prefix": bench.model.response_prefix,
        "clock": bench.model.template.clock.isoformat(),
        "dtype": bench.model.describe("none").dtype,
        "loaded_as": bench.loaded_as,
        "run": folder.name,
        "kind": kind,
        "dora": dora,
        "parameters": trial.parameters,
        "coverage": f"{coverage.editable} of {coverage.found} matrices that write to the residual stream",
        "base": {"refusals": base.refusals, "prompts": base.prompts},
        "trial": {
            "number": number,
            "kl_divergence": trial.kl_divergence,
            "refusals": trial.refusals,
            "prompts": trial.prompts,
        },
        "versions": versions(),
        "files": file_hashes(out),
    }
    # The card stands before the long measurement: what lies in `out` must never be without its warning.
    result["not_measured"] = reason or "the measurement was interrupted"
    _describe(out, result)
    remember(record["identity"], records.places(settings))
    if sets is not None:
        del bench
        try:
            measured = _score_files(settings, sets, folder, out, kind, emit, control)
        except Aborted:
            if not keep_unmeasured:
                shutil.rmtree(out, ignore_errors=True)
            raise
        except Exception as error:
            # The files are whole: that they could not be measured takes nothing from them.
            log.exception("the export could not be measured")
            result["not_measured"] = records.without_paths(one_line(error))
            emit(ev.Notice(level="warning", text=f"the export was not measured: {one_line(error)}"))
        else:
            del result["not_measured"]
            result["exported"] = _figures(measured)
        _describe(out, result)
    return result


def _describe(out: Path, record: dict[str, Any]) -> None:
    write_json(out / "reproduce.json", record)
    write_card(out, record)


def shift_of_trial(folder: RunFolder, number: int, own: Settings, emit: ev.Emit, control: Control) -> dict[str, Any]:
    """What a trial of a run does to first tokens (engine/shift.py), also written to the run folder.

    Args:
        own: this person's settings: they allow what the run's record cannot.

    Raises:
        UsageError: no such trial, or a model or prompts that are not those of the run any more.
    """
    _, trial = _complete_trial(folder, number)
    record = folder.read_record("settings", "identity")
    settings = from_record(record["settings"], own, str(folder.record))
    inputs = check_inputs(settings)
    if changed := [what for what in ("model", "prompts") if inputs.identity[what] != record["identity"].get(what)]:
        raise UsageError(f"the {changed[0]} changed since the run was made: start a new run")
    bench = Workbench(settings, inputs.sets, folder, emit, control, own=False)
    bench.load()
    bench.prepare(baseline=False)
    found = bench.shift(Parameters.from_json(trial.parameters), control)
    try:
        write_json(folder.shift(number), found)
    except HereticError as error:
        emit(ev.Notice(level="warning", text=f"this is not kept: {error}"))
    return found


def reproduce(
    file: Path, out: Path, given: Mapping[str, str], own: Settings, emit: ev.Emit, control: Control
) -> dict[str, Any]:
    """Build an exported model again from its reproduce.json.

    Args:
        given: where the model and the prompt sets lie, by setting name, for those that the record knows by name alone.
        own: this person's settings: they allow what the record cannot.

    Returns:
        `files`: for every weight file whether its hash matches; `differences`: what is not as it was then.

    Raises:
        UsageError: for a file that is no such record, or input that is gone.
    """
    record = records.read_record(file)
    parameters = Parameters.from_json(record["parameters"], where=str(file))
    settings = records.settings_of(record, own, given, str(file))
    check_place(out)
    read = ", ".join(dict.fromkeys(quoted(getattr(settings, name).dataset, 200) for name in SETS))
    emit(ev.Notice(text=f"what is read: the model {quoted(settings.model, 200)}, prompts of {read}"))
    inputs = check_inputs(settings)
    differences = _differences(record, inputs)
    for text in differences:
        emit(ev.Notice(level="warning", text=text))
    with scratch_folder() as folder:
        # What the model is to be told of the time, as far as the record knows it.
        known = ("batch_size", "response_prefix", "clock", "loaded_as")
        folder.update_record(**{name: record[name] for name in known if name in record})
        kind, dora = record["kind"], record["dora"]
        bench = _build(inputs.settings, folder, parameters, out, kind, dora, emit, control, inputs.sets)
    if bench.model.template.uses_clock and "clock" not in record:
        differences.append("the chat template writes the time, and the export did not keep the one it was made with")
        emit(ev.Notice(level="warning", text=differences[-1]))
    hashes = file_hashes(out)
    # The record describes these files too, with its figures; only hashes and versions are of this build.
    described = {"format": records.FORMAT, **records.sources(inputs.settings)}
    _describe(out, {**record, **described, "files": hashes, "versions": versions()})
    remember(record["identity"], records.places(inputs.settings))
    names = sorted({*record["files"], *hashes})
    return {
        "files": {name: record["files"].get(name) == hashes.get(name) for name in names},
        "differences": differences,
    }


def _build(
    settings: Settings,
    folder: RunFolder,
    parameters: Parameters,
    out: Path,
    kind: Kind,
    dora: bool,
    emit: ev.Emit,
    control: Control,
    sets: PromptSets | None = None,
) -> Workbench:
    """Load the model unquantised, and write the edit to `out`. The directions are those of the folder, or found in it
    where prompts are given."""
    whole = settings.model_copy(update={"quantization": "none"}) if kind == "merged" else settings
    # Before anything of the model is read.
    refuse_foreign_links(source_folder(settings))
    bench = Workbench(whole, sets or {}, folder, emit, control, own=sets is not None)
    bench.load()
    if kind == "merged":
        check_space(out, bench.model.describe("none").weight_bytes)
    bench.prepare(baseline=False)
    edits = bench.edits(parameters)
    with whole_or_absent(out) as beside:
        if kind == "merged":
            write_merged(bench.model, edits, beside, settings.max_shard_size, emit)
            save_processor(settings, beside)
            complete(source_folder(settings), beside, emit)
        else:
            write_adapter(bench.model, edits, beside, dora, settings.full_normalization_lora_rank)
    return bench


def _score_files(
    settings: Settings, sets: PromptSets, folder: RunFolder, out: Path, kind: Kind, emit: ev.Emit, control: Control
) -> Measurement:
    """Measure what lies in `out` against the run's own baseline, quantised as the run was."""
    source = settings if kind == "adapter" else settings.model_copy(update={"model": str(out), "model_commit": None})
    bench = Workbench(source, sets, folder, emit, control, own=False)
    bench.load()
    if kind == "adapter":
        from peft import PeftModel

        PeftModel.from_pretrained(bench.model.network, str(out))  # type: ignore[arg-type]
    bench.prepare(directions=False)
    return bench.measure(None)


def _complete_trial(folder: RunFolder, number: int) -> tuple[RunState, TrialRecord]:
    state = RunState.replay(read_events(folder.events))
    trial = state.trials.get(number)
    if trial is None or trial.state != "complete":
        front = ", ".join(str(t.number) for t in state.front()) or "none yet"
        what = "does not exist" if trial is None else f"is {trial.state}"
        raise UsageError(f"trial {number} of {folder.name} {what}; on the front are: {front}")
    return state, trial


def _sets_of(settings: Settings, record: dict[str, Any], emit: ev.Emit) -> tuple[PromptSets | None, str | None]:
    """The run's prompts, or None and why the export cannot be measured. A model that changed is an error: its
    weights are not those that the directions were found in."""
    try:
        inputs = check_inputs(settings)
    except UsageError as error:
        # Of the error, which may name paths, the card and the record get nothing.
        reason, details = "the run's prompts or its model cannot be read", f" ({error})"
    else:
        if inputs.identity["model"] != record["identity"].get("model"):
            raise UsageError(f"{settings.model} has changed since the run was made: start a new run on it")
        if inputs.identity["prompts"] == record["identity"].get("prompts"):
            return inputs.sets, None
        reason, details = "the prompts have changed since the run was made", ""
    emit(ev.Notice(level="warning", text=f"the export will not be measured: {reason}{details}"))
    return None, reason


def _differences(record: dict[str, Any], inputs: Inputs) -> list[str]:
    then, now = record["identity"], inputs.identity
    found = [f"the {what} are not those of the export" for what in ("prompts", "settings") if then[what] != now[what]]
    if then["model"] != now["model"]:
        found.append("the model is not the one that was exported")
    current = versions()
    found += [
        f"{name} was {version} then and is {current.get(name)} now"
        for name, version in record["versions"].items()
        if current.get(name) != version
    ]
    return found


def _figures(measured: Measurement) -> dict[str, Any]:
    return {"kl_divergence": measured.kl_divergence, "refusals": measured.refusals, "prompts": measured.prompts}

"""An exported model built again from its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from heretic_tui.engine.export import record as records
from heretic_tui.engine.export.folder import check_place, file_hashes
from heretic_tui.engine.export.steps import Steps
from heretic_tui.engine.inputs.check import Inputs, check_inputs, versions
from heretic_tui.engine.session.export import describe
from heretic_tui.engine.session.scratch import scratch_folder
from heretic_tui.engine.session.writing import Writing, written_beside
from heretic_tui.parameters import Parameters
from heretic_tui.run.exports import FORMAT, ExportRecord, read_export
from heretic_tui.run.places import remember
from heretic_tui.run.record import RunRecord
from heretic_tui.settings.schema import RUN_SETS, Settings
from heretic_tui.words import counted, quoted
from heretic_tui.work import Work


@dataclass(frozen=True)
class Reproduced:
    """An export built again: for every weight file whether its hash is the same, and what is not as it was then."""

    files: dict[str, bool]
    differences: list[str]


def reproduce(file: Path, out: Path, given: Mapping[str, str], own: Settings, work: Work) -> Reproduced:
    """Build an exported model again from its reproduce.json.

    Args:
        given: where the model and the prompt sets lie, by setting name, for those of which the record has only a name.
        own: the user's settings: they allow what the record cannot.

    Raises:
        UsageError: for a file that is not such a record, or input that cannot be found.
    """
    record = read_export(file)
    parameters = Parameters.from_json(record.parameters, where=str(file))
    settings = records.settings_of(record, own, given, str(file))
    check_place(out)
    read = ", ".join(dict.fromkeys(quoted(getattr(settings, name).dataset, 200) for name in RUN_SETS))
    work.note(f"what is read: the model {quoted(settings.model, 200)}, prompts of {read}")
    inputs = check_inputs(settings)
    differences = _differences(record, inputs)
    for text in differences:
        work.note(text, "warning")
    with scratch_folder() as folder:
        # What the model is to be told of the time, as far as the record knows it.
        found = RunRecord(
            batch_size=record.batch_size,
            response_prefix=record.response_prefix,
            clock=record.clock,
            reading=record.reading or "padded",
            loaded_as=record.loaded_as,
        )
        folder.save_record(found)
        steps = Steps(record.trial.number, work)
        what = Writing(
            inputs.settings,
            folder,
            parameters,
            out,
            record.kind,
            record.dora,
            inputs.sets,
            record.streamed,
            record.requantized,
        )
        with written_beside(what, steps, work) as (beside, written):
            if record.streamed and written.not_streamed:
                differences.append(f"the files were written one by one, and these from memory: {written.not_streamed}")
                work.note(differences[-1], "warning")
            if written.uses_clock and record.clock is None:
                differences.append(
                    "the chat template writes the time, and the export did not keep the one it was made with"
                )
                work.note(differences[-1], "warning")
            if written.rank != record.rank:
                had = counted(record.rank, "direction")
                differences.append(f"an edit took {had} out of each layer, and takes {written.rank} out now")
                work.note(differences[-1], "warning")
            hashes = file_hashes(beside, work)
            # The record describes these files too, with its figures; only hashes and versions are of this build.
            sources = records.sources(inputs.settings)
            again = replace(
                record,
                format=FORMAT,
                **sources,
                files=hashes,
                versions=versions(inputs.settings.quantization),
                rank=written.rank,
                streamed=written.streamed,
                not_streamed=written.not_streamed,
                written_as=written.written_as,
                fused_experts=written.fused_experts,
            )
            describe(beside, again)
    remember(record.identity, records.places(inputs.settings))
    names = sorted({*record.files, *hashes})
    return Reproduced({name: record.files.get(name) == hashes.get(name) for name in names}, differences)


def _differences(record: ExportRecord, inputs: Inputs) -> list[str]:
    then, now = record.identity, inputs.identity
    found = [f"the {what} are not those of the export" for what in ("prompts", "settings") if then[what] != now[what]]
    if then.get("direction_file") != now.get("direction_file"):
        found.append("the file of directions is not that of the export")
    if then["model"] != now["model"]:
        found.append("the model is not the one that was exported")
    current = versions(inputs.settings.quantization)
    found += [
        f"{name} was {version} then and is {current.get(name)} now"
        for name, version in record.versions.items()
        if current.get(name) != version
    ]
    return found

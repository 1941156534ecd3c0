"""An exported model built again from its record."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from heretic_tui.engine.export import record as records
from heretic_tui.engine.export.folder import check_place, file_hashes
from heretic_tui.engine.export.steps import Steps
from heretic_tui.engine.inputs.check import Inputs, check_inputs, versions
from heretic_tui.engine.memory import free_memory
from heretic_tui.engine.session.export import describe
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.scratch import scratch_folder
from heretic_tui.engine.session.workbench import open_edit_bench
from heretic_tui.engine.session.writing import Writing, written_beside
from heretic_tui.files import checksum
from heretic_tui.parameters import Parameters
from heretic_tui.run.exports import FORMAT, ExportRecord, read_export
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.places import remember
from heretic_tui.run.record import Round, RunRecord
from heretic_tui.run.rounds import Base, keep_base
from heretic_tui.settings.prompt_sets import RUN_SETS
from heretic_tui.settings.schema import Settings
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
    work.note(f"what is read: the model {quoted(settings.model, 200)}, prompts of {_named(settings, *RUN_SETS)}")
    with ExitStack() as stack:
        base, differences = _earlier_rounds(record, own, given, str(file), stack, work)
        inputs = check_inputs(settings, base)
        differences += _differences(record, inputs)
        for text in differences:
            work.note(text, "warning")
        folder = _like(record, base, stack)
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
                edited=written.matrices,
                left_alone=written.left_alone,
                streamed=written.streamed,
                not_streamed=written.not_streamed,
                written_as=written.written_as,
                fused_experts=written.fused_experts,
            )
            describe(beside, again)
    remember(record.identity, records.places(inputs.settings))
    names = sorted({*record.files, *hashes})
    return Reproduced({name: record.files.get(name) == hashes.get(name) for name in names}, differences)


def _named(settings: Settings, *sets: str) -> str:
    """Where prompt sets are read from."""
    return ", ".join(dict.fromkeys(quoted(getattr(settings, name).dataset, 200) for name in sets))


def _like(found: ExportRecord | Round, base: Base, stack: ExitStack) -> RunFolder:
    """A run folder that knows what was found of a run before its directions."""
    folder = stack.enter_context(scratch_folder())
    # What the model is to be told of the time, as far as the record knows it.
    record = RunRecord(
        batch_size=found.batch_size,
        response_prefix=found.response_prefix,
        clock=found.clock,
        reading=found.reading or "padded",
        loaded_as=found.loaded_as,
    )
    folder.save_record(record)
    keep_base(folder, base)
    return folder


def _earlier_rounds(
    record: ExportRecord, own: Settings, given: Mapping[str, str], file: str, stack: ExitStack, work: Work
) -> tuple[Base, list[str]]:
    """The earlier rounds of an export with their directions, which are found anew, one round after the other; and what
    is not as it was then. Raises as `reproduce` does."""
    base, differences = Base((), ()), list[str]()
    for number, each in enumerate(record.rounds, start=1):
        settings = records.settings_of_earlier(record, each, own, given, f"{file}: round {number}")
        work.note(
            f"the directions of round {number} (trial {each.trial} of {each.run}) are found again, from prompts of "
            f"{_named(settings, 'good_prompts', 'bad_prompts')}"
        )
        inputs = check_inputs(settings, base)
        folder = _like(each, base, stack)
        open_edit_bench(RunInputs.of(inputs.settings, inputs.sets, folder), work)
        free_memory()
        found = checksum(folder.directions)
        if found != each.directions:
            differences.append(f"the directions of round {number} are not to the last digit those of the export")
        now = replace(each, directions=found, settings=inputs.settings.model_dump(mode="json"))
        base = Base((*base.rounds, now), (*base.files, folder.directions))
        remember(each.identity, records.places(inputs.settings))
    return base, differences


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

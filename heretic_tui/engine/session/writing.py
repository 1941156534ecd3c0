"""A trial's edit written as a model or an adapter: from the source's files one matrix at a time, or from the model in
memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from heretic_tui.engine.anatomy.kept import kept_writers
from heretic_tui.engine.anatomy.writers import stream_width
from heretic_tui.engine.checkpoint.misfit import build_empty
from heretic_tui.engine.checkpoint.packing import Packing, packing_of
from heretic_tui.engine.checkpoint.source import (
    check_weights,
    download,
    load_config,
    load_tokenizer,
    save_processor,
    source_folder,
)
from heretic_tui.engine.checkpoint.stored import refuse_foreign_links
from heretic_tui.engine.checkpoint.tokenizer_files import keep_tokenizer_files
from heretic_tui.engine.directions.by_method import from_tensors
from heretic_tui.engine.edits.banks import method_of
from heretic_tui.engine.edits.methods.base import EditMethod, edit_method
from heretic_tui.engine.edits.rounds import RoundEdit
from heretic_tui.engine.export.adapter import adapter_problem, make_adapter, save_adapter
from heretic_tui.engine.export.folder import check_space, whole_or_absent
from heretic_tui.engine.export.merged import edit_weights, save_whole
from heretic_tui.engine.export.missing_tensors import copy_missing_tensors
from heretic_tui.engine.export.quantised_config import config_text
from heretic_tui.engine.export.record import without_paths
from heretic_tui.engine.export.steps import Steps
from heretic_tui.engine.export.streamed import NotStreamable, plan_merge
from heretic_tui.engine.inputs.prompts import PromptSets
from heretic_tui.engine.memory import free_memory
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.phases.rounds import edits_before
from heretic_tui.engine.session.phases.saved_directions import saved_directions
from heretic_tui.engine.session.workbench import EditBench, open_edit_bench
from heretic_tui.errors import UsageError, one_line
from heretic_tui.parameters import Parameters
from heretic_tui.run.exports import ExportKind
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.rounds import parameters_before
from heretic_tui.settings.schema import Settings
from heretic_tui.words import counted, size_words
from heretic_tui.work import Work

# What an export takes over from the source beside its weights and what belongs to tokenizer and processor.
_CONFIGURATIONS = ("config.json", "generation_config.json")


@dataclass(frozen=True)
class Written:
    """What a trial was written with.

    Attributes:
        batch_size, response_prefix, clock, loaded_as: those that the run's model has (run/record.py).
        uses_clock: whether the chat template writes the time; None where it was not looked at.
        dtype: of the matrices.
        rank: directions of a layer.
        matrices: how many the edit changes.
        left_alone: layers that the mask of layers leaves alone.
        streamed: whether merged weights were made from the source's files.
        not_streamed: why not; None where that was not asked for.
        written_as: what became of the source's format, in a sentence; None where it is not quantised.
        requantized: the format in which edited matrices are quantised again; None where none is.
        fused_experts: whether an adapter holds experts that are one parameter.
    """

    batch_size: int
    response_prefix: str
    clock: str
    loaded_as: str | None
    uses_clock: bool | None
    dtype: str
    rank: int = 1
    matrices: int = 0
    left_alone: tuple[int, ...] = ()
    streamed: bool = False
    not_streamed: str | None = None
    written_as: str | None = None
    requantized: str | None = None
    fused_experts: bool = False


@dataclass(frozen=True)
class Writing:
    """What is to be written: the edit of one trial, with the directions that a folder holds, to a folder of its own.

    Attributes:
        sets: prompts, where the directions are to be found in the folder; None where the folder is that of the run.
        stream: whether merged weights are made from the source's files where that can be done.
        requantize: whether edited matrices are quantised again, as those of the source are.
    """

    settings: Settings
    folder: RunFolder
    parameters: Parameters
    out: Path
    kind: ExportKind
    dora: bool
    sets: PromptSets | None = None
    stream: bool = True
    requantize: bool = False


@dataclass(frozen=True)
class _Ready:
    """An edit that is made; `write` writes it to a folder."""

    written: Written
    write: Callable[[Path], None]


@contextmanager
def written_beside(what: Writing, steps: Steps, work: Work) -> Iterator[tuple[Path, Written]]:
    """Write an edit: the first two steps of an export. Within the block the files lie in a folder beside `out`, so that
    what belongs to them is written too; it takes the name of `out` when the block ends well.

    Raises:
        UsageError: no space, `out` there already, or what cannot be written so, or quantised again.
        Aborted: from the control; nothing is left of `out` then.
    """
    # Before anything of the model is read.
    refuse_foreign_links(source_folder(what.settings))
    with steps.taken("edit") as step:
        ready = _ready(what, work)
        step.said = counted(ready.written.matrices, "matrix", "matrices")
    with whole_or_absent(what.out) as beside:
        with steps.taken("write") as step:
            ready.write(beside)
            keep_tokenizer_files(source_folder(what.settings), beside)
            sizes = [path.stat().st_size for path in beside.glob("*.safetensors")]
            step.said = f"{counted(len(sizes), 'file')}, {size_words(sum(sizes))}"
        yield beside, ready.written


def _ready(what: Writing, work: Work) -> _Ready:
    packing = packing_of(load_config(what.settings))
    if what.requantize and packing is None:
        raise UsageError("the model is not quantised as FP8 or MXFP4: leave out --requantize")
    if what.kind == "adapter":
        if what.requantize:
            raise UsageError("an adapter is not quantised: leave out --requantize, or --as adapter")
        return _adapter(what, packing, work)
    if not what.stream:
        return _from_memory(what, None, packing, work)
    try:
        return _streamed(what, packing, work)
    except NotStreamable as error:
        reason = without_paths(str(error))
    if what.requantize:
        raise UsageError(f"what is edited cannot be quantised again: {reason}; leave out --requantize")
    work.note(f"the model is loaded whole, and not edited file by file: {reason}")
    return _from_memory(what, reason, packing, work)


def _streamed(what: Writing, packing: Packing | None, work: Work) -> _Ready:
    """Merged weights from the source's files.

    Raises:
        NotStreamable: where they cannot be made so.
    """
    settings, folder = what.settings, what.folder
    if settings.max_shard_size != Settings.model_fields["max_shard_size"].default:
        raise NotStreamable("the size of its files is set, and else they are as large as those of the source")
    found = None if what.sets is None else _find_directions(what, work)
    config = load_config(settings)
    download(settings, work)
    # Loading them would tell what is missing.
    check_weights(settings, config)
    source, network = source_folder(settings), build_empty(config, settings.trust_remote_code)
    try:
        anatomy = kept_writers(folder, network, settings.component_kinds == "fine")
        methods, depth = settings.direction_method, len(anatomy.layers) if anatomy else 0
        size = depth, stream_width(network)
        kept = saved_directions(folder, folder.directions, *size, methods) if anatomy else None
        before = edits_before(folder, *size) if anatomy else []
    except UsageError as error:
        raise NotStreamable(f"the run's folder cannot be read ({one_line(error)})") from error
    if anatomy is None or kept is None:
        raise NotStreamable("the run's folder does not hold what was found of its layers, as with older versions")
    by_method = from_tensors(kept, methods)
    found_by = by_method[method_of(what.parameters, by_method)]
    rounds = [*before, RoundEdit(what.parameters, found_by, edit_method(settings.edit_method))]
    plan = plan_merge(source, network, anatomy.writers, rounds, packing, what.requantize)
    written = replace(
        found or _facts_of_run(settings, folder),
        streamed=True,
        dtype=plan.dtype,
        rank=found_by.vectors.shape[1],
        matrices=plan.matrices,
        left_alone=tuple(found_by.left_alone()),
        written_as=plan.format_words,
        requantized=packing.title if packing and plan.requantized else None,
    )
    check_space(what.out, plan.size)
    if plan.format_words:
        work.note(plan.format_words)

    def write(out: Path) -> None:
        plan.write(out, work)
        for name in _CONFIGURATIONS:
            if (source / name).is_file():
                shutil.copyfile(source / name, out / name)
        if plan.whole:
            (out / "config.json").write_text(config_text(source / "config.json", plan, network), encoding="utf-8")
        load_tokenizer(settings).save_pretrained(out)
        save_processor(settings, out)

    return _Ready(written, write)


def _find_directions(what: Writing, work: Work) -> Written:
    """Find in the folder what it does not hold, with the model in memory as the run had it, and let that go."""
    found = _facts(_open_bench(what, what.settings, work), what.parameters)
    free_memory()
    return found


def _facts_of_run(settings: Settings, folder: RunFolder) -> Written:
    """
    Raises:
        NotStreamable: where run.json lacks something, as with older versions.
    """
    record = folder.read_record()
    batch_size = settings.batch_size or record.batch_size
    prefix = record.response_prefix if settings.response_prefix is None else settings.response_prefix
    if batch_size is None or prefix is None or record.clock is None:
        raise NotStreamable("the run's record does not say all that its trials were measured with")
    return Written(batch_size, prefix, record.clock, record.loaded_as, uses_clock=None, dtype="")


def _from_memory(what: Writing, not_streamed: str | None, packing: Packing | None, work: Work) -> _Ready:
    """Merged weights from the whole model, unquantised, in memory."""

    def check(model: ChatModel) -> None:
        check_space(what.out, model.describe("none").weight_bytes)

    whole = what.settings.model_copy(update={"quantization": "none"})
    if what.sets is not None and what.settings.quantization != "none":
        # Directions are those of the quantised model.
        _find_directions(what, work)
    bench = _open_bench(what, whole, work, check)
    edits = bench.edits(what.parameters)
    edit_weights(bench.model, edits)

    def write(out: Path) -> None:
        save_whole(bench.model, out, what.settings.max_shard_size, work)
        save_processor(what.settings, out)
        copy_missing_tensors(source_folder(what.settings), out, packing, work)

    facts = replace(_facts(bench, what.parameters), matrices=len(edits))
    said = f"The source is {packing.title}; the whole model is written as {facts.dtype}." if packing else None
    return _Ready(replace(facts, not_streamed=not_streamed, written_as=said), write)


def _adapter(what: Writing, packing: Packing | None, work: Work) -> _Ready:
    if why := adapter_problem(what.settings, [*parameters_before(what.folder), what.parameters]):
        raise UsageError(why)
    bench = _open_bench(what, what.settings, work)
    edits = bench.edits(what.parameters)
    method, rank = _method_of_all(what), what.settings.full_normalization_lora_rank
    adapted = make_adapter(bench.model, edits, method, what.dora, rank)
    fused = any(writer.stack is not None and writer.name in edits for writer in bench.model.anatomy.writers)
    written = replace(_facts(bench, what.parameters), matrices=len(edits), fused_experts=fused)
    if packing:
        beside = f"trial and adapter were measured beside its weights as {written.dtype}"
        written = replace(written, written_as=f"The original is {packing.title}; {beside}.")
    return _Ready(written, lambda out: save_adapter(adapted, bench.model, out))


def edit_methods(folder: RunFolder, settings: Settings) -> list[str]:
    """Those of all rounds of a run, its own last."""
    return [*(str(each.settings.get("edit_method")) for each in folder.read_record().rounds), settings.edit_method]


def _method_of_all(what: Writing) -> EditMethod:
    """The edit method that says what adapter holds the edits of all rounds: one that rescales rows, where there is one.

    Raises:
        UsageError: for a DoRA of rounds that are not all of one method.
    """
    names = edit_methods(what.folder, what.settings)
    if what.dora and len(set(names)) > 1:
        raise UsageError(
            f"a DoRA keeps the lengths of rows, and the edit methods of the rounds differ ({', '.join(names)}): export "
            "without --dora, or merged weights"
        )
    methods = [edit_method(name) for name in names]
    return next((method for method in methods if method.dora), methods[-1])


def _open_bench(
    what: Writing, settings: Settings, work: Work, check: Callable[[ChatModel], None] | None = None
) -> EditBench:
    return open_edit_bench(RunInputs.of(settings, what.sets or {}, what.folder, own=what.sets is not None), work, check)


def _facts(bench: EditBench, parameters: Parameters) -> Written:
    model = bench.model
    return Written(
        batch_size=model.batch_size,
        response_prefix=model.response_prefix,
        clock=model.template.clock.isoformat(),
        loaded_as=bench.loaded_as,
        uses_clock=model.template.uses_clock,
        dtype=model.describe("none").dtype,
        rank=bench.rank(parameters),
        left_alone=bench.left_alone(parameters),
    )

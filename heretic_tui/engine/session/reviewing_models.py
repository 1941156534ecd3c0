"""A model that somebody else edited, reviewed against the model that it was made from: no run is needed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from heretic_tui.engine.checkpoint.source import load_config, load_tokenizer
from heretic_tui.engine.inputs.check import Inputs, check_inputs
from heretic_tui.engine.memory import free_memory
from heretic_tui.engine.review.bench import Reviewed, digest_of
from heretic_tui.engine.review.review import ReviewRun, checks_named
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.reviewing import bench_of, checked_prompts, identity_of
from heretic_tui.engine.session.scratch import scratch_folder
from heretic_tui.engine.session.workbench import open_model
from heretic_tui.errors import UsageError, one_line
from heretic_tui.events import ReviewStarted
from heretic_tui.files import make_folder, user_path
from heretic_tui.records import as_json
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.review_folder import ReviewFolder
from heretic_tui.run.review_records import EDITED, Models
from heretic_tui.settings.record import to_record
from heretic_tui.settings.schema import Settings
from heretic_tui.words import quoted
from heretic_tui.work import Work


def review_models(settings: Settings, edited: str, work: Work) -> RunFolder:
    """Review a model beside the one that it was made from.

    Args:
        settings: with the original model.
        edited: folder or Hub id of the edited model, or of a PEFT adapter for the original one.

    Returns a folder that holds no run, but the findings where a run has them, and what people say of answers; the same
    models, prompts and settings have the same.

    Raises:
        UsageError: for models or prompts that cannot be used, in one line.
        HereticError: where a model cannot be made ready, or the folder cannot be written.
        Aborted: from the control; what was found is kept.
    """
    checks = checks_named(settings.review_checks)
    adapter = _adapter(edited)
    inputs = check_inputs(settings)
    other = inputs if adapter else check_inputs(_of_edited(inputs.settings, edited))
    for note in dict.fromkeys([*inputs.notes, *other.notes]):
        work.note(note, "warning")
    prompts = checked_prompts(
        inputs.settings, inputs.sets, load_tokenizer(inputs.settings), load_config(inputs.settings)
    )
    for note in prompts.notes:
        work.note(note, "warning")
    origin = _adapter_origin(edited) if adapter else other.identity["model"]
    place = _folder(inputs, origin, edited)
    folder = ReviewFolder(place.review)
    subject = Reviewed(EDITED, {}, origin, "the edited model")
    models = Models(base=inputs.settings.model, edited=edited, settings=to_record(inputs.settings))
    made_of = inputs.identity, origin, models, prompts
    known = folder.kept_models()
    if known and known.whole == _digest(folder, checks, *made_of) and not _asks_a_folder(inputs.settings):
        # No model has to be loaded to see it.
        work.tell(ReviewStarted(whose=[subject.name], trials=[EDITED], checks=[], seconds={}))
        return place
    folder.keep_models(models)

    def ended() -> RunFolder:
        if run.whole:
            folder.keep_models(replace(models, whole=_digest(folder, checks, *made_of)))
        return place

    with scratch_folder() as scratch:
        model = open_model(RunInputs.of(inputs.settings, inputs.sets, scratch), work)
        prefix, clock = model.response_prefix, model.template.clock
        identity = identity_of(inputs.identity, inputs.settings, model)
        bench = bench_of(model, inputs.settings, identity, prompts, folder, scratch.read_record(), work)
        run = ReviewRun(bench, [subject], checks, work)
        run.plan()
        if not run.left:
            return ended()
        run.run_original()
        tokens = bench.tokens
        # Its memory is needed for the other one.
        run.release()
        del bench, model
        free_memory()
    # What every response begins with is the original's: both are asked the same.
    of_edited = other.settings.model_copy(update={"response_prefix": prefix})
    with scratch_folder() as scratch:
        model = open_model(RunInputs.of(of_edited, inputs.sets, scratch), work, edited if adapter else None)
        model.template.clock = clock
        bench = bench_of(model, of_edited, identity, prompts, folder, scratch.read_record(), work)
        if bench.tokens != tokens:
            work.note(
                "the edited model's tokenizer or chat template is another one: each model is asked in its own form",
                "warning",
            )
        run.run_others(bench)
    return ended()


def _digest(folder: ReviewFolder, checks: Iterable[str], *made_of: object) -> str:
    """Of all that a review is made of, and of the findings that there are: one that was deleted is made again."""
    found = [folder.found(check, subject) for check in checks for subject in (None, EDITED)]
    return digest_of(as_json(made_of), sorted(finding.of for finding in found if finding))


def _asks_a_folder(settings: Settings) -> bool:
    """Whether something on this machine is asked that may be another one by now."""
    return any(path and user_path(path).exists() for path in (settings.review_classifier, settings.review_task_folder))


def _of_edited(settings: Settings, edited: str) -> Settings:
    return settings.model_copy(update={"model": edited, "model_commit": None})


def _adapter(name: str) -> bool:
    """Whether a folder or Hub id holds a PEFT adapter and no model.

    Raises:
        UsageError: where that cannot be found out.
    """
    path = user_path(name)
    if os.path.isdir(path):
        return (path / "adapter_config.json").is_file() and not (path / "config.json").is_file()
    from transformers.utils.peft_utils import find_adapter_config_file

    try:
        return find_adapter_config_file(name) is not None
    except Exception as error:
        raise UsageError(
            f"{quoted(name, 200)} is no folder, and cannot be found on the Hub: {one_line(error)}"
        ) from error


def _adapter_origin(adapter: str) -> object:
    """By what an adapter is known again: the content of its files here, its name on the Hub."""
    path = user_path(adapter)
    if not path.is_dir():
        return adapter
    digest = hashlib.sha256()
    try:
        for file in sorted(path.glob("adapter_*")):
            digest.update(file.name.encode())
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _folder(inputs: Inputs, origin: object, edited: str) -> RunFolder:
    """Where the findings lie, made where it is not there.

    Raises:
        HereticError: when it cannot be made.
    """
    known = digest_of(inputs.identity, origin)
    name = f"review-{Path(edited).name or 'model'}-{known[:8]}"
    path = user_path(inputs.settings.runs_dir) / name
    make_folder(path)
    return RunFolder(path)

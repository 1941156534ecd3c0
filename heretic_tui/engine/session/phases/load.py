"""The model loaded with the first dtype that works, and the next one where it overflows on a prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.inputs.chat_template import clock_of
from heretic_tui.engine.memory import free_memory
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.load import load_model, refuse_broken
from heretic_tui.engine.session.phases.phase import RunInputs, phase
from heretic_tui.engine.threads import watch_threads
from heretic_tui.errors import HereticError
from heretic_tui.work import Work

T = TypeVar("T")


@dataclass(frozen=True)
class Loaded:
    """A model in memory, and the entry of the setting `dtypes` that it was loaded with."""

    model: ChatModel
    dtype: str


def load(run: RunInputs, prepare: Callable[[Loaded], T], work: Work) -> T:
    """Load the model and make of it what `prepare` makes. Where the model overflows on a prompt meanwhile, that is
    begun again with the next dtype.

    Raises:
        HereticError: where no dtype works, or the next one may not be taken; see also `load_model`.
        Aborted: from the control.
    """
    # From that dtype on with which the run's figures were measured, where it is known.
    dtypes: list[str] = list(run.settings.dtypes)
    known = run.record.loaded_as
    dtypes = dtypes[dtypes.index(known) :] if known in dtypes else dtypes
    while True:
        loaded = _load(run, dtypes, work)
        try:
            return prepare(loaded)
        except NotFiniteError as error:
            # The error itself refers to the model, whose memory the next one needs.
            problem = str(error)
        dtypes = _next_dtypes(run, loaded, problem, work)
        del loaded
        free_memory()


def _load(run: RunInputs, dtypes: Sequence[str], work: Work) -> Loaded:
    with phase("load", work):
        if not torch.accelerator.is_available():
            # Passes through the model are part of loading it.
            watch_threads(None, work)
        model, dtype = load_model(run.settings, work, dtypes=dtypes)
        if model.device.type == "cpu":
            model.threads = watch_threads(model.network, work)
        _set_clock(run, model, work)
        work.tell(model.describe(run.settings.quantization))
        exact_as = "DoRA" if edit_method(run.settings.edit_method).dora else "LoRA"
        work.tell(model.anatomy.coverage(exact_as))
        for note in model.anatomy.notes:
            work.note(note)
    return Loaded(model, dtype)


def _set_clock(run: RunInputs, model: ChatModel, work: Work) -> None:
    """A template that writes the date writes that of the run's beginning: the baseline was measured with it."""
    record, template = run.record, model.template
    template.clock = clock_of(record.clock, record.created) or template.clock
    if template.uses_clock and record.clock is None and run.folder.baseline.is_file():
        work.note(
            f"the chat template writes the time, and this run did not keep the one it began with: "
            f"{template.clock:%Y-%m-%d %H:%M} is taken, when it was made",
            "warning",
        )
    if run.own:
        run.folder.save_record(replace(run.record, clock=template.clock.isoformat()))


def _next_dtypes(run: RunInputs, loaded: Loaded, problem: str, work: Work) -> list[str]:
    """The dtypes to try after one with which the model overflows. What was found with that one is removed from the
    folder.

    Raises:
        HereticError: where none is left, or what there is was measured with the one that fails.
    """
    network, folder = loaded.model.network, run.folder
    dtypes: list[str] = list(run.settings.dtypes)
    failed = str(loaded.model.dtype).removeprefix("torch.")
    left = [dtype for dtype in dtypes[dtypes.index(loaded.dtype) + 1 :] if dtype not in (failed, "auto")]
    problem = f"as {failed} {problem}"
    refuse_broken(network)
    if not run.own or run.record.loaded_as or any(folder.path.glob("responses/trial-*")):
        raise HereticError(f"{problem}, and this run was measured with that dtype: start another one (--dtypes)")
    if not left:
        more = "" if failed == "float32" else ", such as float32"
        raise HereticError(f"{problem}, and no other dtype is left to try: name more of them{more} (--dtypes)")
    work.note(f"{problem}: {left[0]} is tried next", "warning")
    # Nothing that was found with the dtype that fails may be used with another one.
    for path in (folder.baseline, folder.responses(None), folder.directions, folder.writers):
        path.unlink(missing_ok=True)
    run.folder.save_record(replace(run.record, batch_size=None, step_seconds={}, response_prefix=None, reading=None))
    return left

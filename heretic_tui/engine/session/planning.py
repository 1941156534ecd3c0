"""What a run was to take, kept beside what it takes: reckoned as Setup does, when the model has been loaded."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from heretic_tui.engine.anatomy.few_bits import parameters_taken
from heretic_tui.engine.anatomy.inspect import Inspection
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.memory import memory_share
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.session.needs import needs_of
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.errors import HereticError
from heretic_tui.files import user_path
from heretic_tui.machine import Looker
from heretic_tui.run.earlier import earlier_times
from heretic_tui.run.plan import Load, TimePlan, disk_plan, memory_plan, time_as_before, time_by_speed, workers_plan
from heretic_tui.run.record import Planned
from heretic_tui.run.speeds import recall_speed, speed_about
from heretic_tui.settings.model_names import folder_of
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.workers import worker_count

log = logging.getLogger(__name__)


def plan_of_run(run: RunInputs, model: ChatModel, tokens: Mapping[str, Sequence[Tokens]]) -> Planned:
    """The plan of a run that begins; empty where none can be made.

    Args:
        tokens: of the prompts, by the name of their set.
    """
    try:
        return _planned(run, model, tokens)
    except (HereticError, RuntimeError, AttributeError, TypeError, ValueError):
        # Of a configuration that is like no other; a plan costs no run.
        log.warning("no plan could be made", exc_info=True)
        return Planned()


def _planned(run: RunInputs, model: ChatModel, tokens: Mapping[str, Sequence[Tokens]]) -> Planned:
    settings, described = run.settings, model.describe(run.settings.quantization)
    inspection = Inspection(
        described.architecture,
        model.hidden_size,
        described.parameters,
        described.weight_bytes,
        model.anatomy,
        parameters_taken(model.network),
    )
    needs = needs_of(inspection, model.network.config, settings)
    lengths = {name: [len(row) for row in rows] for name, rows in tokens.items()}
    good, bad = (sum(lengths.get(name, ())) for name in ("good_evaluation_prompts", "bad_evaluation_prompts"))
    counts = {name: len(rows) for name, rows in tokens.items()}
    evaluated = [counts.get(name, 0) for name in ("good_evaluation_prompts", "bad_evaluation_prompts")]
    load = Load(
        rows=model.batch_size,
        batches=model.in_turn.window,
        longest=max((max(each) for each in lengths.values() if each), default=0),
        response=settings.max_response_length,
        evaluation=good + bad,
        harmful=bad,
        # With prompts to keep.
        training=sum(sum(each) for each in lengths.values()) - good - bad,
        prompts=sum(evaluated),
        decoded=evaluated[1],
        tried=sum(min(each, settings.layer_test_prompts) for each in evaluated) * len(settings.direction_method),
    )
    # The weights were not there yet when it was to be decided whether they fit.
    free = memory_share(model.device, 1.0) + described.weight_bytes
    memory = memory_plan(needs, load, free, described.weight_bytes)
    disk = disk_plan(needs, counts, settings.keep_residuals, described.weight_bytes)
    times = _times(settings, load, described.weight_bytes)
    return Planned(
        memory=memory.whole,
        disk=disk.run,
        first=times.first if times else None,
        trial=times.trial if times else None,
        at_most=times is not None and times.at_most,
    )


def _times(settings: Settings, load: Load, stored: int) -> TimePlan | None:
    """As an earlier run of the model took, or by what a probe found; None where neither tells."""
    names = [gpu.name for gpu in Looker().look().gpus]
    workers = workers_plan(worker_count(settings, len(names)), settings.worker_gpus, len(names))
    if earlier := earlier_times(user_path(settings.runs_dir), frozenset({settings.model})):
        return time_as_before(earlier, settings.n_trials, workers, len(names))
    folder = folder_of(settings.model, settings.model_commit)
    about = speed_about(folder, settings.dtypes[0], names) if folder else None
    speed = recall_speed(about) if about else None
    return time_by_speed(speed, load, stored, settings.batch_size, settings.n_trials, workers) if speed else None

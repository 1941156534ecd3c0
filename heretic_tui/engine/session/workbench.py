"""A model made ready: loaded, measured as it is, its directions found; any edit of it can be measured and tried."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from heretic_tui.bounds import bounds_of
from heretic_tui.engine.analysis.first_token_shift import first_token_shift
from heretic_tui.engine.directions.by_method import MethodDirections
from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.banks import method_of
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.openings import Openings
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.search.space import Space
from heretic_tui.engine.session.chat import LiveModel
from heretic_tui.engine.session.opening import begin_run, known_seed
from heretic_tui.engine.session.phases.baseline import Baseline, Measurement, measure_base
from heretic_tui.engine.session.phases.batch_size import set_batch_size
from heretic_tui.engine.session.phases.directions import FoundDirections, directions_of_run
from heretic_tui.engine.session.phases.layers import analyse_layers_of_run
from heretic_tui.engine.session.phases.load import Loaded, load
from heretic_tui.engine.session.phases.openings import openings_of_run
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.phases.residuals import TakenAlong, keep_residuals
from heretic_tui.engine.session.phases.response_prefix import set_response_prefix
from heretic_tui.engine.session.planning import plan_of_run
from heretic_tui.errors import UsageError, one_line
from heretic_tui.events import LayersAnalysed
from heretic_tui.files import user_path
from heretic_tui.parameters import Parameters
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.results import SetShift
from heretic_tui.settings.schema import Settings
from heretic_tui.words import quoted
from heretic_tui.work import Work


@dataclass(frozen=True)
class EditBench:
    """A model that can be edited: what an export and a look at first tokens need. Nothing can be measured with it.

    Attributes:
        tokens: of the prompts, by the name of their set.
        loaded_as: the entry of the setting `dtypes` that the model was loaded with.
    """

    run: RunInputs
    model: ChatModel
    loaded_as: str
    tokens: Mapping[str, Sequence[Tokens]]
    directions: FoundDirections

    @property
    def methods(self) -> Mapping[str, int]:
        """The direction methods by name, with how many directions of a layer, beside the first, are weighted one by
        one."""
        each = self.run.settings.direction_weights == "each"
        return {name: found.vectors.shape[1] - 1 if each else 0 for name, found in self.directions.by_method.items()}

    def space(self) -> Space:
        """What a search on the model goes through."""
        settings, model = self.run.settings, self.model
        bounds = bounds_of(settings.search_space, settings.search_bounds)
        added = settings.steer == "add"
        methods = self.methods
        return Space(model.depth, model.anatomy.components, max(methods.values()), methods, bounds, added)

    def rank(self, parameters: Parameters) -> int:
        """How many directions of a layer an edit takes out, beside those of earlier rounds."""
        return self._found_for(parameters).vectors.shape[1]

    def left_alone(self, parameters: Parameters) -> tuple[int, ...]:
        """Layers that the mask of layers leaves alone, whatever the parameters say."""
        return tuple(self._found_for(parameters).left_alone())

    def _found_for(self, parameters: Parameters) -> MethodDirections:
        by_method = self.directions.by_method
        return by_method[method_of(parameters, by_method)]

    def edits(self, parameters: Parameters) -> dict[str, Edit]:
        """The edit of each matrix that the parameters, or earlier rounds, reach, by the writer's name: what is done to
        the original model."""
        return self.directions.bank.edits(parameters)

    def edits_of(self, parameters: Parameters | None) -> dict[str, Edit]:
        """The same; none for the base model, None."""
        return self.edits(parameters) if parameters else {}

    @contextmanager
    def edited(self, parameters: Parameters | None) -> Iterator[LiveModel]:
        """Within the block the model has an edit (none for None) in its matrices, and can answer.

        Raises:
            UsageError: when the parameters are not for this model.
        """
        with attached(self.model.anatomy.writers, self.edits_of(parameters)):
            yield LiveModel(self.model, self.run.settings.system_prompt, self.run.settings.max_response_length)

    def shift(self, parameters: Parameters, work: Work) -> dict[str, SetShift]:
        """What an edit does to the first tokens of the evaluation prompts (engine/analysis/first_token_shift.py).

        Args:
            work: its checkpoint is passed between batches, so that this can be cancelled alone.
        """
        progress = work.progress("first tokens")

        def tell(done: int, total: int) -> None:
            work.checkpoint()
            progress(done, total)

        sets = {
            name: (self.run.sets[name], self.tokens[name])
            for name in ("good_evaluation_prompts", "bad_evaluation_prompts")
        }
        return first_token_shift(self.model, sets, self.edits(parameters), tell)


@dataclass(frozen=True)
class Workbench(EditBench):
    """A model made ready for trials: it can be edited, and every edit measured against the baseline."""

    baseline: Baseline

    @classmethod
    def open(cls, settings: Settings, folder: str | Path, work: Work | None = None) -> Workbench:
        """Make a model ready, with what the folder holds of that already; what is found now is kept there.

        Args:
            folder: of the run; made where it is not there yet.

        Raises:
            UsageError: for settings, prompts or a model that cannot be used, or a folder that another process holds or
                that holds another run.
            HereticError: where the model cannot be measured.
        """
        inputs, work = check_inputs(settings), work or Work()
        for note in inputs.notes:
            work.note(note, "warning")
        run = RunFolder(user_path(str(folder)).absolute())
        run.create()
        run.lock()
        try:
            if run.read_record().identity not in (None, inputs.identity):
                raise UsageError(f"{run.path} holds a run of another model, prompts or settings: name another folder")
            begin_run(run, inputs, known_seed(run, inputs.settings.seed, None))
            return open_workbench(RunInputs.of(inputs.settings, inputs.sets, run), work)
        finally:
            run.unlock()

    def job(self, number: int | None, parameters: Parameters | None) -> Job:
        """An edit (none for None) ready to be measured by the pool."""
        start = time.perf_counter()
        edits = self.edits_of(parameters)
        job = Job(number, edits, self.model.anatomy.first_edited(edits), parameters)
        # What is no trial is compared with what was measured of one: by verdicts, where there are any.
        if number is not None and self.baseline.evaluation.metrics.openings:
            job.openings = self.openings
        job.add("edit", time.perf_counter() - start)
        return job

    @property
    def openings(self) -> Openings | None:
        """How refusals of the model begin; None where that tells nothing (`no_openings` says why). Found when it is
        first asked for.

        Raises:
            torch.OutOfMemoryError: when a single row is too much.
            Aborted: from the control, between batches and tokens.
        """
        return None if isinstance(self._openings, str) else self._openings

    @property
    def no_openings(self) -> str | None:
        """Why no refusals can be expected before responses are decoded. Raises as `openings` does."""
        return self._openings if isinstance(self._openings, str) else None

    @cached_property
    def _openings(self) -> Openings | str:
        bad, good = self.tokens["bad_evaluation_prompts"], self.tokens["good_evaluation_prompts"]
        return openings_of_run(self.run, self.model, bad, good, self.baseline, self.edits, self.model.work)

    def analyse_layers(self, work: Work) -> LayersAnalysed:
        """Find what the directions are, do and say, tell it, and keep it in the run folder. Raises whatever fails in
        it, and Aborted from the control of the work."""
        return analyse_layers_of_run(self.run, self.model, self.tokens, self.baseline, self.directions, work)

    def measure_before(self) -> Measurement | None:
        """What the search is on top of, measured in full; None where that is the model itself. Raises as `measure`."""
        edits = dict(self.directions.before)
        return self.baseline.measure(Job(None, edits, self.model.anatomy.first_edited(edits))) if edits else None

    def measure(self, parameters: Parameters | None) -> Measurement:
        """Measure one edit, none for None, in full.

        Raises:
            HereticError: when the edited model's logits are not finite.
            torch.OutOfMemoryError: when a single row is too much.
            Aborted: from the control, between batches and tokens.
        """
        return self.measure_all([parameters])[0]

    def measure_all(self, edits: Sequence[Parameters | None]) -> list[Measurement]:
        """The same for several: their prompts share batches."""
        return self.baseline.measure_all([self.job(None, parameters) for parameters in edits])


def open_workbench(run: RunInputs, work: Work, keep: bool = False) -> Workbench:
    """All phases before the search. Where the base model overflows on a prompt, they are gone through again with the
    next dtype.

    Args:
        keep: whether all residuals that come up are kept in the folder, where the settings say so, for an analysis of
            the layers that comes later.

    Raises:
        HereticError: see the phases; where the model is not the run's own, also for what the folder does not hold.
        Aborted: from the control, between batches.
    """

    def prepare(loaded: Loaded) -> Workbench:
        model = loaded.model
        set_batch_size(run, model, work)
        prompts = set_response_prefix(run, model, work)
        tokens = prompts.tokens
        # Those of the original model are none of the model that earlier rounds left: they are gathered later.
        taken_along = keep and run.settings.keep_residuals and not run.record.rounds
        wanted = taken_along and not run.folder.residuals.is_file()
        taken = TakenAlong(run.settings.winsorization_quantile) if wanted else None
        baseline = measure_base(run, model, tokens, work, taken)
        directions, gathered = directions_of_run(run, model, prompts, work)
        if taken:
            keep_residuals(run, {**gathered, **taken.sets(tokens)}, model, work)
        baseline = baseline.with_checked(run, model, work)
        return Workbench(run, model, loaded.dtype, tokens, directions, baseline)

    bench = load(run, prepare, work)
    if run.own:
        # Which trials are asked for depends on the latter, so it is the same for the whole run.
        at_once = bench.baseline.trials_at_once
        planned = run.record.planned or plan_of_run(run, bench.model, bench.tokens)
        run.folder.save_record(replace(run.record, loaded_as=bench.loaded_as, trials_at_once=at_once, planned=planned))
    return bench


def open_edit_bench(run: RunInputs, work: Work, check: Callable[[ChatModel], None] | None = None) -> EditBench:
    """The phases without which no edit can be made. Raises as `open_workbench` does.

    Args:
        check: called with the model as soon as it is loaded; it may raise.
    """

    def prepare(loaded: Loaded) -> EditBench:
        if check:
            check(loaded.model)
        set_batch_size(run, loaded.model, work)
        prompts = set_response_prefix(run, loaded.model, work)
        directions, _ = directions_of_run(run, loaded.model, prompts, work)
        return EditBench(run, loaded.model, loaded.dtype, prompts.tokens, directions)

    return load(run, prepare, work)


def open_model(run: RunInputs, work: Work, adapter: str | None = None) -> ChatModel:
    """The phases without which the model cannot answer. Raises as `open_workbench` does.

    Args:
        adapter: folder or Hub id of a PEFT adapter that the model answers with.
    """

    def prepare(loaded: Loaded) -> ChatModel:
        _adapt(loaded.model, adapter)
        set_batch_size(run, loaded.model, work)
        set_response_prefix(run, loaded.model, work)
        return loaded.model

    return load(run, prepare, work)


def open_baseline(run: RunInputs, work: Work, adapter: Path | None = None) -> Baseline:
    """The phases without which the model cannot be measured as it is. Raises as `open_workbench` does.

    Args:
        adapter: a PEFT adapter that the model is measured with.
    """

    def prepare(loaded: Loaded) -> Baseline:
        _adapt(loaded.model, str(adapter) if adapter else None)
        set_batch_size(run, loaded.model, work)
        tokens = set_response_prefix(run, loaded.model, work).tokens
        return measure_base(run, loaded.model, tokens, work)

    return load(run, prepare, work)


def _adapt(model: ChatModel, adapter: str | None) -> None:
    """Put an adapter into a model.

    Raises:
        UsageError: where it cannot be loaded, or is of another model.
    """
    if adapter is None:
        return
    from peft import PeftModel

    try:
        PeftModel.from_pretrained(model.network, adapter)
    except Exception as error:
        # Of the Hub, of a configuration that is none, of weights of another shape.
        raise UsageError(
            f"the adapter {quoted(adapter, 200)} cannot be put into the model: {one_line(error)}"
        ) from error

"""A model made ready for trials: each phase from loading to directions, taken from the run folder where it holds the
result, and the measurement of one edit."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from torch import Tensor

from heretic_tui import events as ev
from heretic_tui.control import Aborted
from heretic_tui.engine.analysis.first_token_shift import first_token_shift
from heretic_tui.engine.analysis.geometry import direction_cosines, histograms, layer_diagnostics
from heretic_tui.engine.analysis.record import saved_analysis
from heretic_tui.engine.directions.methods.base import direction_method
from heretic_tui.engine.directions.residuals import gather_residuals
from heretic_tui.engine.directions.unit_directions import unit_directions
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.inputs.chat_template import clock_of
from heretic_tui.engine.inputs.positions import check_positions
from heretic_tui.engine.inputs.prompts import PromptSets
from heretic_tui.engine.measuring.base_model import (
    base_figures,
    first_tokens,
    keep_first_tokens,
    keep_responses,
    kept_first_tokens,
    kept_responses,
)
from heretic_tui.engine.measuring.job import Evaluation, Job
from heretic_tui.engine.measuring.open_pool import open_pool
from heretic_tui.engine.measuring.speculation import StepCost
from heretic_tui.engine.memory import free_memory, is_out_of_memory, memory_share
from heretic_tui.engine.metrics.base import Metrics, Response, metrics_named
from heretic_tui.engine.metrics.judges.base import judge_named
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.load import load_model, refuse_broken
from heretic_tui.engine.session.phases.batch_size import choose_batch_size
from heretic_tui.engine.session.phases.layers import analyse_layers, announce_size, gather_all
from heretic_tui.engine.session.phases.response_prefix import detect_response_prefix
from heretic_tui.engine.tensor_files import keep_tensors, kept_tensors
from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.results import SetShift
from heretic_tui.settings.schema import Settings
from heretic_tui.words import quoted
from heretic_tui.work import Work

T = TypeVar("T")


_PREFIX_PROMPTS = 100
# Share of the free memory that the products of matrices and directions may take.
_BANK_SHARE = 0.1
# More trials than this at once would make the search learn too late from each.
_TRIALS_AT_MOST = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measurement:
    """One edit measured: figures by key; `prompts` is the number of bad evaluation prompts, `stages` are seconds by
    stage."""

    figures: dict[str, float]
    prompts: int
    stages: dict[str, float]


def metrics_of(settings: Settings) -> Metrics:
    """The metrics that settings ask for, none of which has seen the base model yet.

    Raises:
        UsageError: for a metric or a judge that cannot be used.
    """
    judged = judge_named(settings.judge).judged
    return metrics_named([*settings.objectives, *settings.figures], judged, settings.max_response_length)


class Workbench:
    """Settings, prompts and a run folder in; a model, metrics and directions out.

    Args:
        sets: prompts by the names of their settings (good_prompts, bad_prompts, good_evaluation_prompts,
            bad_evaluation_prompts).
        own: whether the model is the run's own, so that what phases find is kept in the folder. Where it is another (an
            export loaded again, say), all that the run found is taken from the folder, and nothing is written there.

    Attributes:
        loaded_as: the word of the dtypes that the model was loaded with.
    """

    def __init__(
        self,
        settings: Settings,
        sets: PromptSets,
        folder: RunFolder,
        work: Work,
        own: bool = True,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self._sets = sets
        self._work = work
        self._own = own
        # Before the model is loaded, which takes minutes.
        self._direction_method = direction_method(settings.direction_method)
        self._edit_method = edit_method(settings.edit_method)

    # Phases, in order

    def load(self) -> None:
        """Load the model; say what it is and how much of it can be edited."""
        self._load(self._ladder())

    def _load(self, dtypes: Sequence[str]) -> None:
        with self._phase("load"):
            self.model: ChatModel
            self.model, self.loaded_as = load_model(self.settings, self._work, dtypes=dtypes)
            self._set_clock()
            self._work.tell(self.model.describe(self.settings.quantization))
            self._work.tell(self.model.anatomy.coverage())
            for note in self.model.anatomy.notes:
                self._work.note(note)

    def _set_clock(self) -> None:
        """A template that writes the date writes that of the run's beginning: the baseline was measured with it."""
        record, template = self.folder.read_record(), self.model.template
        template.clock = clock_of(record) or template.clock
        if template.uses_clock and "clock" not in record and self.folder.baseline.is_file():
            self._warn(
                f"the chat template writes the time, and this run did not keep the one it began with: "
                f"{template.clock:%Y-%m-%d %H:%M} is taken, when it was made"
            )

    def unload(self) -> None:
        """Unload the model, and free its memory; `load` and `prepare` bring it back."""
        # The pool and the bank hold the model too.
        for name in ("model", "pool", "_bank"):
            self.__dict__.pop(name, None)
        free_memory()

    def prepare(self, baseline: bool = True, directions: bool = True, layers: bool = False) -> None:
        """All further phases before the search, with or without what measuring and what editing needs, and the
        analysis of the layers. Where the base model overflows on a prompt, they are gone through again with the next
        dtype.

        Raises:
            HereticError: see the phases; where the model is not the run's own, also for what the folder does not hold.
            Aborted: from the control, between batches.
        """
        while True:
            try:
                self._prepare(baseline, directions, layers)
                break
            except NotFiniteError as error:
                # The error itself holds what is in the way of the next model.
                problem = str(error)
            self._load_as_next_dtype(problem)
        if self._own and baseline and directions:
            self.folder.update_record(loaded_as=self.loaded_as)

    def _ladder(self) -> list[str]:
        """Dtypes to try: from that on with which the run's figures were measured, where it is known."""
        dtypes: list[str] = list(self.settings.dtypes)
        known = self.folder.read_record().get("loaded_as")
        return dtypes[dtypes.index(known) :] if known in dtypes else dtypes

    def _load_as_next_dtype(self, problem: str) -> None:
        """
        Raises:
            HereticError: where none is left, or what there is was measured with the one that fails.
        """
        dtypes: list[str] = list(self.settings.dtypes)
        failed = str(self.model.dtype).removeprefix("torch.")
        left = [dtype for dtype in dtypes[dtypes.index(self.loaded_as) + 1 :] if dtype not in (failed, "auto")]
        problem = f"as {failed} {problem}"
        refuse_broken(self.model.network)
        if not self._own or "loaded_as" in self.folder.read_record() or any(self.folder.path.glob("responses/trial-*")):
            raise HereticError(f"{problem}, and this run was measured with that dtype: start another one (--dtypes)")
        if not left:
            more = "" if failed == "float32" else ", such as float32"
            raise HereticError(f"{problem}, and no other dtype is left to try: name more of them{more} (--dtypes)")
        self._warn(f"{problem}: {left[0]} is tried next")
        # Nothing that was found with the dtype that fails may be used with another one.
        for path in (self.folder.baseline, self.folder.responses(None), self.folder.directions):
            path.unlink(missing_ok=True)
        self.folder.forget("batch_size", "step_seconds", "response_prefix")
        self.unload()
        self._load(left)

    @contextmanager
    def _naming(self, *sets: tuple[str, int]) -> Iterator[None]:
        """Within the block, what is not finite is told with the prompts: rows are those of the first so many prompts of
        some sets, one after the other."""
        try:
            yield
        except NotFiniteError as error:
            prompts = [(name, at) for name, count in sets for at in range(min(count, len(self._sets[name])))]
            name, at = prompts[error.rows[0]]
            more = f" and {len(error.rows) - 1} more prompts" if len(error.rows) > 1 else ""
            named = NotFiniteError(error.rows, error.what)
            named.args = (f"{error} for {name}, prompt {at + 1} ({quoted(self._sets[name][at].text)}){more}",)
            raise named from None

    def _prepare(self, baseline: bool, directions: bool, layers: bool) -> None:
        self._choose_batch_size()
        self._find_prefix()
        if baseline:
            self._measure_base()
        if directions:
            self._find_directions(keep=layers)
        if layers:
            self._analyse_layers()

    def _choose_batch_size(self) -> None:
        given = self.settings.batch_size or self.folder.read_record().get("batch_size")
        if given:
            self.model.batch_size = given
            self._work.tell(ev.BatchSizeChosen(batch_size=given, tokens_per_second=None))
            return
        if not self._sets:
            # Nothing will be measured.
            return
        with self._phase("batch size"):
            prompts = [prompt for prompts in self._sets.values() for prompt in prompts]
            size, seconds = choose_batch_size(
                self.model,
                self.model.encode(prompts),
                self.settings.max_batch_size,
                self.settings.max_response_length,
                self._work,
            )
            self.model.batch_size = size
            self._work.tell(
                ev.BatchSizeChosen(batch_size=size, tokens_per_second=round(size / StepCost(seconds)(size), 1))
            )
            if self._own:
                self.folder.update_record(batch_size=size, step_seconds=seconds)

    def _find_prefix(self) -> None:
        given = self.settings.response_prefix
        known = self.folder.read_record().get("response_prefix") if given is None else given
        if known is not None:
            self.model.response_prefix = known
            self._work.tell(ev.ResponsePrefixFound(prefix=known, source="detected" if given is None else "given"))
        else:
            self._refuse_missing("response prefix")
            first = _PREFIX_PROMPTS
            with self._phase("response prefix"), self._naming(("good_prompts", first), ("bad_prompts", first)):
                good, bad = self._sets["good_prompts"], self._sets["bad_prompts"]
                found = detect_response_prefix(
                    self.model,
                    [*good[:first], *bad[:first]],
                    self.settings.chain_of_thought_skips,
                    self.settings.max_response_length,
                    self._work,
                )
                self._work.tell(found)
                self.folder.update_record(response_prefix=found.prefix)
        # Only now is it known what the model sees.
        self._tokens = {name: self.model.encode(prompts) for name, prompts in self._sets.items()}
        self._check_positions()

    def _check_positions(self) -> None:
        """Once more, now that the response prefix is known."""
        network: Any = self.model.network
        longest = max((len(tokens) for found in self._tokens.values() for tokens in found), default=0)
        what = "the longest prompt, with the response prefix,"
        # What it would warn of was told before the model was loaded.
        check_positions(network.config, lambda: network, what, longest, self.settings.max_response_length)

    def _refuse_missing(self, what: str) -> None:
        """
        Raises:
            HereticError: where the model is not the run's own: what would be found now would not be the run's.
        """
        if not self._own:
            raise HereticError(
                f"the {what} of run {self.folder.name} cannot be read from its folder: the same `heretic-tui run` "
                "command finds it again"
            )

    def _measure_base(self) -> None:
        good_tokens, bad_tokens = (self._tokens[f"{which}_evaluation_prompts"] for which in ("good", "bad"))
        good, bad = (("good_evaluation_prompts", len(good_tokens)), ("bad_evaluation_prompts", len(bad_tokens)))
        metrics = metrics_of(self.settings)
        judge = judge_named(self.settings.judge).made(self.settings, self.model.tokenizer.all_special_tokens)
        with self._phase("baseline") as phase:
            self.evaluation = Evaluation(good_tokens, bad_tokens, self.settings.max_response_length, metrics, judge)
            # Keys of JSON are text.
            seconds = {int(size): s for size, s in self.folder.read_record().get("step_seconds", {}).items()}
            with self._naming(bad):
                self.pool, together = open_pool(self.model, self.evaluation, StepCost(seconds), self._work)
            self._choose_trials_at_once(together)
            tokens: Tensor | None = None
            responses: list[Response] | None = None
            if metrics.first_tokens:
                tokens = self._unless_damaged(partial(kept_first_tokens, self.folder, len(good_tokens)))
            if metrics.responses:
                responses = self._unless_damaged(partial(self.kept_responses, None))
            lacking = bool(metrics.first_tokens) and tokens is None, bool(metrics.responses) and responses is None
            if any(lacking):
                self._refuse_missing("baseline")
            base = Job(None, {}, self.model.depth, compared=False)
            if lacking[0]:
                with self._naming(good):
                    tokens = first_tokens(self.pool, base, len(good_tokens))
            if lacking[1]:
                with self._naming(bad):
                    responses = self._run(base)
            # Both are there before either is kept.
            if lacking[0] and tokens is not None:
                keep_first_tokens(self.folder, tokens)
            if lacking[1] and responses is not None:
                self.keep_responses(None, responses)
            self.base_responses: Sequence[Response] = responses or ()
            phase.reused = not any(lacking)
        self.base_figures = base_figures(metrics, tokens, self.base_responses)
        self._work.tell(ev.BaselineMeasured(figures=self.base_figures, prompts=len(bad_tokens)))
        for note in metrics.notes():
            self._warn(note)

    def keep_responses(self, trial: int | None, responses: Sequence[Response | None]) -> None:
        """Write the responses of a trial, or of the base model for None, to the run folder."""
        keep_responses(self.folder, trial, self._sets["bad_evaluation_prompts"], responses)

    def kept_responses(self, trial: int | None) -> list[Response] | None:
        """The responses of a trial that was measured in full, or of the base model for None; None where there are none
        that this version can go by.

        Raises:
            UsageError: when they are damaged.
        """
        return kept_responses(self.folder, trial, len(self._sets["bad_evaluation_prompts"]))

    def _choose_trials_at_once(self, together: bool) -> None:
        """How many trials are in hand: enough that a line which one of them leaves is always taken by another. What is
        asked for depends on it, so it depends on nothing that is measured."""
        prompts = len(self._sets["bad_evaluation_prompts"])
        known = self.folder.read_record().get("trials_at_once")
        enough = min(_TRIALS_AT_MOST, 1 + math.ceil(self.settings.max_batch_size / prompts)) if together else 1
        self.trials_at_once = self.settings.trials_at_once or known or enough

    def _find_directions(self, keep: bool) -> None:
        self._residuals: dict[str, Tensor] = {}
        with self._phase("residuals") as phase:
            found = self._unless_damaged(self._saved_directions) or {}
            if found:
                phase.reused = True
            else:
                self._refuse_missing("directions")
                gathered = {}
                for name in ("good_prompts", "bad_prompts"):
                    with self._naming((name, len(self._sets[name]))):
                        gathered[name] = gather_residuals(
                            self.model,
                            self._tokens[name],
                            self.settings.winsorization_quantile,
                            self._work.progress(f"residuals of {name.replace('_', ' ')}"),
                        )
        with self._phase("directions"):
            if not phase.reused:
                good, bad = gathered["good_prompts"], gathered["bad_prompts"]
                if keep:
                    self._residuals = {name: found.each for name, found in gathered.items()}
                directions = unit_directions(self._direction_method, good, bad, self.settings.orthogonalize_direction)
                found = {
                    "good_mean": good.mean,
                    "bad_mean": bad.mean,
                    "good_along": good.along(directions),
                    "bad_along": bad.along(directions),
                    "directions": directions,
                }
                keep_tensors(self.folder, self.folder.directions, found)
            self.directions: Tensor = found["directions"]
            self._bank = EditBank(
                self.model.anatomy.writers,
                self.directions,
                self._edit_method,
                memory_share(self.model.device, _BANK_SHARE),
            )
            along = found["good_along"], found["bad_along"]
            self._work.tell(
                ev.DirectionsFound(
                    layers=layer_diagnostics(found["good_mean"], found["bad_mean"], *along),
                    histograms=histograms(*along),
                    cosines=direction_cosines(self.directions),
                )
            )

    def _saved_directions(self) -> dict[str, Tensor] | None:
        path = self.folder.directions
        found = kept_tensors(self.folder, path, "good_mean", "bad_mean", "good_along", "bad_along", "directions")
        if found is None:
            return None
        depth, hidden = self.model.depth + 1, self.model.hidden_size
        shapes = all(found[name].shape == (depth, hidden) for name in ("good_mean", "bad_mean", "directions"))
        along = all(found[name].ndim == 2 and found[name].shape[1] == depth for name in ("good_along", "bad_along"))
        if not (shapes and along and all(tensor.isfinite().all() for tensor in found.values())):
            raise UsageError(f"{path} is damaged (it holds no directions of {depth - 1} layers of {hidden})")
        return found

    def _unless_damaged(self, read: Callable[[], T]) -> T | None:
        """What a file of the run folder holds; where it is damaged that is told, and it counts as missing."""
        try:
            return read()
        except UsageError as error:
            self._warn(f"{error}: it is not used")
            return None

    def _analyse_layers(self) -> None:
        """What the directions are, do and say. The search needs none of it: a failure is told, and costs no run."""
        known, self._residuals = self._residuals, {}
        with self._phase("layers") as phase:
            kept = self.folder.residuals.is_file() or not self.settings.keep_residuals
            # Residuals that are missing are gathered again: commands and plots refer people to this.
            found = self._unless_damaged(partial(saved_analysis, self.folder)) if kept else None
            phase.reused = found is not None
            try:
                found = found or self._analysis(known)
            except Aborted:
                raise
            except Exception as error:
                log.exception("the analysis of the layers failed")
                self._warn(f"the layers could not be analysed: {one_line(error)}")
            if found:
                self._work.tell(found)

    def _analysis(self, known: dict[str, Tensor]) -> ev.LayersAnalysed:
        tokens = self._tokens
        refused = tokens["bad_evaluation_prompts"]
        if self.base_responses:
            verdicts = zip(refused, self.base_responses, strict=True)
            refused = [prompt for prompt, response in verdicts if response.verdict.refused]
        model, prompts = self.model, sum(len(some) for some in tokens.values())
        keep = announce_size(self.settings, prompts, model.depth, model.hidden_size, self.folder, self._work)
        store = gather_all(model, tokens, known, self.settings, keep, self.folder, self._work)
        return analyse_layers(
            model,
            store,
            self.directions,
            self._edits_of_layer,
            refused,
            tokens["good_evaluation_prompts"],
            self.settings.layer_test_prompts,
            self.folder,
            self._work,
        )

    def _edits_of_layer(self, layer: int) -> dict[str, Edit]:
        """The edits that keep one layer from writing its own direction."""
        alone = Kernel(max_weight=1.0, max_weight_position=float(layer), min_weight=1.0, min_weight_distance=0.5)
        return self.edits(Parameters(None, dict.fromkeys(self.model.anatomy.components, alone)))

    # One edit

    def edits(self, parameters: Parameters) -> dict[str, Edit]:
        """The edit of each matrix that the parameters reach, by the writer's name."""
        return self._bank.edits(parameters)

    def job(self, number: int | None, parameters: Parameters | None) -> Job:
        """An edit (none for None) ready to be measured by the pool."""
        start = time.perf_counter()
        edits = self.edits(parameters) if parameters else {}
        edited = [writer.layer for writer in self.model.anatomy.writers if writer.name in edits]
        job = Job(number, edits, min(edited, default=self.model.depth))
        job.add("edit", time.perf_counter() - start)
        return job

    def measure(self, parameters: Parameters | None) -> Measurement:
        """Measure one edit, none for None, in full.

        Raises:
            HereticError: when the edited model's logits are not numbers.
            torch.OutOfMemoryError: when a single row is too much.
            Aborted: from the control, between batches and tokens.
        """
        job = self.job(None, parameters)
        self._run(job)
        stages = {stage: round(seconds, 3) for stage, seconds in job.stages.items()}
        return Measurement(self.evaluation.figures(job), len(self.evaluation.bad), stages)

    def _run(self, job: Job) -> list[Response]:
        """Measure one job alone. Returns its responses."""
        try:
            self.pool.start(job)
            self.pool.advance()
        except BaseException:
            self.pool.cancel()
            raise
        if job.error:
            raise job.error
        return [response for response in job.responses if response]

    def shift(self, parameters: Parameters, work: Work) -> dict[str, SetShift]:
        """What the edit does to the first tokens of the evaluation prompts (engine/shift.py).

        Args:
            work: its checkpoint is passed between batches, so that this can be cancelled alone.
        """
        progress = work.progress("first tokens")

        def tell(done: int, total: int) -> None:
            work.checkpoint()
            progress(done, total)

        sets = {
            name: (self._sets[name], self._tokens[name])
            for name in ("good_evaluation_prompts", "bad_evaluation_prompts")
        }
        return first_token_shift(self.model, sets, self.edits(parameters), tell)

    # Telling

    def _warn(self, text: str) -> None:
        self._work.note(text, "warning")

    @contextmanager
    def _phase(self, name: str) -> Iterator[_Phase]:
        self._work.checkpoint()
        self._work.tell(ev.PhaseStarted(phase=name))
        start, phase = time.perf_counter(), _Phase()
        try:
            yield phase
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise HereticError(
                f"out of memory in the phase '{name}' even with one prompt at a time: try --quantization bnb_4bit "
                f"or a larger GPU ({one_line(error)})"
            ) from error
        seconds = round(time.perf_counter() - start, 3)
        self._work.tell(ev.PhaseFinished(phase=name, seconds=seconds, reused=phase.reused))


@dataclass
class _Phase:
    reused: bool = False

"""What the screens show of the engine without a run: a model's files, prompt sets, prompts as the model will see them,
and what decides a verdict.

A look reads files and takes seconds at its first call, for imports: looks are for threads."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from heretic_tui.bounds import Bounds
from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.files import user_path
from heretic_tui.machine import Looker as MachineLooker
from heretic_tui.run.plan import Load
from heretic_tui.run.results import ResponseRecord
from heretic_tui.run.rounds import read_base, whole_name
from heretic_tui.run.seeds import read_seeds
from heretic_tui.run.speeds import remember_speed, speed_about
from heretic_tui.settings.model_names import folder_of
from heretic_tui.settings.prompt_sets import KEPT_SET, RUN_SETS, PromptSet
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.search_space import with_bounds
from heretic_tui.tui.model_files import missing_model
from heretic_tui.tui.plan_looks import ModelLook, PromptView, SetLook, SetsLook, TextLook
from heretic_tui.verdict import Verdict
from heretic_tui.work import Work

if TYPE_CHECKING:
    from heretic_tui.engine.inputs.prompts import PromptList
    from heretic_tui.engine.inputs.reading import Reading

T = TypeVar("T")
SETS = RUN_SETS

# So many looks are remembered.
_MOST = 200

log = logging.getLogger(__name__)


class Looker:
    """Looks at what settings name before a run starts, and remembers what it saw as long as the files are the same.
    Nothing is fetched from the Hub unless it is said so. Several threads may ask; one look is taken at a time.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._known: dict[Hashable, object] = {}
        # Data sets of the Hub that were read because the user asked.
        self._fetched: set[Hashable] = set()

    # Prompt sets

    def prompt_set(self, settings: Settings, name: str) -> SetLook:
        """A set by itself.

        Args:
            name: of the setting, such as good_prompts; or of prompts to keep (settings/prompt_sets.py: KEPT_SET).
        """

        def look() -> SetLook:
            found = self._prompts(settings, name)
            if found is None:
                return SetLook()
            return SetLook(prompts=len(found.prompts), first=found.prompts[0].text, notes=tuple(found.notes))

        return self._guarded(look, lambda problem: SetLook(problem=problem))

    def fetch(self, settings: Settings, name: str) -> None:
        """Let the next look at a set read it from the Hub."""
        self._fetched.add(self._spec(settings, name))

    def sets(self, settings: Settings) -> SetsLook:
        """All sets that can be read, beside each other."""

        def look() -> SetsLook:
            from heretic_tui.engine.inputs.prompts import check_sets

            loaded = {name: found for name in SETS if (found := self._readable(settings, name))}
            try:
                checked, notes = check_sets(loaded)
            except UsageError as error:
                at = next((name for name in sorted(SETS, key=len, reverse=True) if name in str(error)), SETS[0])
                return SetsLook(problem=(at, str(error)))
            unique = {name: len(set(found.prompts)) for name, found in loaded.items()}
            return SetsLook(
                kept={name: len(found.prompts) for name, found in checked.items()},
                in_evaluation={
                    name: unique[name] - len(checked[name].prompts) for name in loaded if "evaluation" not in name
                },
                twice={name: len(found.prompts) - unique[name] for name, found in loaded.items()},
                notes=tuple(notes),
            )

        key = ("sets", *(self._set_key(settings, name) for name in SETS))
        return self._guarded(lambda: self._once(key, look), lambda problem: SetsLook(problem=(SETS[0], problem)))

    def _readable(self, settings: Settings, name: str) -> PromptList | None:
        try:
            return self._prompts(settings, name)
        except UsageError:
            return None

    def _prompts(self, settings: Settings, name: str) -> PromptList | None:
        """The prompts of a set; None for one on the Hub that the user has not asked for.

        Raises:
            UsageError: when it cannot be read.
        """
        from heretic_tui.engine.inputs.prompts import load_prompt_set, local_path

        spec = _set_of(settings, name)
        with self._lock:
            if local_path(spec.dataset, name) is None and self._spec(settings, name) not in self._fetched:
                return None
        key = ("prompts", name, self._set_key(settings, name))
        return self._once(key, lambda: load_prompt_set(spec, name, settings.system_prompt))

    @staticmethod
    def _spec(settings: Settings, name: str) -> str:
        return _set_of(settings, name).model_dump_json()

    def _set_key(self, settings: Settings, name: str) -> Hashable:
        spec = self._spec(settings, name)
        return spec, settings.system_prompt, signature(_set_of(settings, name).dataset), spec in self._fetched

    # The model

    def model(self, settings: Settings) -> ModelLook | None:
        """A model by its files; None for one of the Hub of which nothing is on this disk."""

        def look() -> ModelLook | None:
            local, whole = self._local(settings)
            return None if local is None else self._once(key, lambda: self._look_at_model(local, whole))

        decides = (settings.quantization, settings.component_kinds, settings.edit_method, tuple(settings.dtypes))
        directions = (tuple(settings.direction_method), settings.directions_per_layer)
        key = ("model", self._model_key(settings), decides, directions)
        return self._guarded(look, lambda problem: ModelLook(problem=problem))

    def fetch_configuration(self, settings: Settings, work: Work) -> None:
        """Have what tells of a model on the Hub besides its weights on this disk: configuration, tokenizer, template.
        Nothing is done where that is here, or where the name cannot be one of the Hub.

        Args:
            work: is told before.

        Raises:
            UsageError: where it cannot be had.
        """
        if folder_of(settings.model, settings.model_commit) is None and missing_model(settings.model) is None:
            work.note(f"configuration and tokenizer of {settings.model} are read from the Hub")
            self._reading(settings)

    def _look_at_model(self, settings: Settings, whole: bool) -> ModelLook:
        from heretic_tui.engine.anatomy.inspect import inspect_model
        from heretic_tui.engine.checkpoint.stored import refuse_foreign_links, refuse_no_weights, weight_files
        from heretic_tui.engine.checkpoint.tokenizer_files import other_template
        from heretic_tui.engine.session.needs import needs_of

        folder = Path(settings.model)
        reading = self._reading(settings)
        if whole and not weight_files(folder):
            refuse_no_weights(folder)
        found = inspect_model(settings, weights=whole)
        needs, notes = needs_of(found, reading.config, settings), list(reading.template.notes)
        if note := other_template(folder):
            notes.append(note)
        if found.stored_as:
            notes.append(found.format_words())
        try:
            refuse_foreign_links(folder)
        except UsageError as error:
            notes.append(f"no trial can be exported as it stands: {error}")
        anatomy = found.anatomy
        return ModelLook(
            whole=whole,
            architecture=found.architecture,
            layers=len(anatomy.layers),
            hidden=found.hidden_size,
            parameters=found.parameters,
            # A merged export of what is quantised has up to 16 bits.
            stored=found.loaded or found.bytes,
            needs=needs,
            edited=len(anatomy.writers),
            found=len(anatomy.writers) + len(anatomy.missing),
            rows=tuple(found.lines()),
            notes=tuple(notes),
        )

    def _local(self, settings: Settings) -> tuple[Settings | None, bool]:
        """The settings with the folder on this disk as the model, and whether all of it is there; None where nothing
        is.

        Raises:
            UsageError: for what is no model.
        """
        folder = folder_of(settings.model, settings.model_commit)
        if folder is None:
            return None, False
        from heretic_tui.engine.checkpoint.source import locate
        from heretic_tui.engine.checkpoint.stored import weight_files

        located = locate(settings.model)
        if os.path.isdir(located):
            return settings.model_copy(update={"model": located}), True
        if not (folder / "config.json").is_file():
            return None, False
        try:
            whole = bool(weight_files(folder))
        except UsageError:
            whole = False
        return settings.model_copy(update={"model": str(folder), "model_commit": None}), whole

    def _model_key(self, settings: Settings) -> Hashable:
        folder = folder_of(settings.model, settings.model_commit)
        return settings.model, settings.model_commit, settings.trust_remote_code, folder and signature(str(folder))

    def _reading(self, settings: Settings) -> Reading:
        """How a model on this disk reads prompts.

        Raises:
            UsageError: when it lacks something for it.
        """
        from heretic_tui.engine.inputs.reading import Reading

        return self._once(("reading", self._model_key(settings)), lambda: Reading.of(settings))

    def probe(self, settings: Settings, load: Load, row: int, work: Work) -> None:
        """Measure how fast this machine computes with a model, and remember it.

        Args:
            row: bytes that a row of the largest batch takes of the cache; 0 where they are not known.

        Raises:
            UsageError: where nothing of the model is on this disk.
            HereticError: where it cannot be measured.
            Aborted: from the control of the work.
        """
        from heretic_tui.engine.session.speed_probe import probe_speed

        local, _ = self._local(settings)
        if local is None:
            raise UsageError(f"nothing of {settings.model} is on this disk, so it cannot be probed")
        gpus = [gpu.name for gpu in MachineLooker().look().gpus]
        if about := speed_about(Path(local.model), settings.dtypes[0], gpus):
            remember_speed(about, probe_speed(local, load, row, work))

    # Prompts on their way to the model

    def text(self, settings: Settings, name: str) -> TextLook | None:
        """Whether all prompts of a set reach the model; None where one of the two is not at hand."""

        def look() -> TextLook | None:
            local, _ = self._local(settings)
            found = self._prompts(settings, name)
            if local is None or found is None:
                return None
            return self._once(key, lambda: self._look_at_text(local, name, found))

        decides = settings.response_prefix, settings.max_response_length
        key = ("text", name, self._model_key(settings), self._set_key(settings, name), decides)
        return self._guarded(look, lambda problem: TextLook(problem=problem))

    def _look_at_text(self, settings: Settings, name: str, found: PromptList) -> TextLook:
        reading = self._reading(settings)
        notes = reading.check(settings, name, found.prompts)
        lengths = reading.lengths([reading.text(settings, prompt) for prompt in found.prompts])
        return TextLook(longest=max(lengths), tokens=sum(lengths), notes=tuple(notes))

    def prompt(self, settings: Settings, name: str, number: int) -> PromptView | None:
        """A prompt of a set as the model will see it; None for a set that is not at hand.

        Args:
            number: its place; one beyond the end is the first again.

        Raises:
            UsageError: when the set cannot be read.
        """
        found = self._prompts(settings, name)
        if found is None:
            return None
        count = len(found.prompts)
        prompt = found.prompts[number % count]
        try:
            local, _ = self._local(settings)
            if local is None:
                return PromptView(prompt.text, number % count, count, note="the model is not on this disk")
            reading = self._reading(local)
            text = reading.text(local, prompt)
        except HereticError as error:
            return PromptView(prompt.text, number % count, count, note=str(error))
        return PromptView(text, number % count, count, reading.lengths([text])[0])

    # What is remembered

    def _once(self, key: Hashable, look: Callable[[], T]) -> T:
        """What a look brings, or brought before; failures are remembered too."""
        with self._lock:
            if key not in self._known:
                try:
                    self._known[key] = look()
                except UsageError as error:
                    self._known[key] = error
                while len(self._known) > _MOST:
                    del self._known[next(iter(self._known))]
            found = self._known[key]
        if isinstance(found, UsageError):
            raise found
        return found  # type: ignore[return-value]

    def _guarded(self, look: Callable[[], T], failed: Callable[[str], T]) -> T:
        """What a look brings; what is wrong as a problem. Libraries raise whatever they like."""
        try:
            return look()
        except HereticError as error:
            return failed(str(error))
        except Exception as error:
            # It is shown as the problem.
            log.warning("a look before the start failed", exc_info=True)
            return failed(one_line(error))


def _set_of(settings: Settings, name: str) -> PromptSet:
    """The set with a name, as in `Looker.prompt_set`."""
    from heretic_tui.engine.inputs.prompts import kept_set

    if name.startswith(KEPT_SET):
        return kept_set(name.removeprefix(KEPT_SET))
    found: PromptSet = getattr(settings, name)
    return found


def signature(name: str) -> Hashable:
    """What changes when a file does, or a file of a folder: sizes and times. None where nothing lies there."""
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            with os.scandir(path) as entries:
                found = [(entry.name, entry.stat()) for entry in entries]
            return tuple(sorted((name, at.st_size, at.st_mtime_ns) for name, at in found))
        at = path.stat()
        return str(path), at.st_size, at.st_mtime_ns
    except (OSError, RuntimeError, ValueError):
        return None


def verdict_of(settings: Settings, text: str) -> Verdict:
    """Whether a marker is in a text. Loads no heavy library: it can be called on the screen's thread."""
    from heretic_tui.engine.metrics.judges.markers import Markers

    return Markers.made(settings, ()).verdict(text)


def directions_problem(settings: Settings) -> str | None:
    """Why the direction methods that are set cannot be used with what else is set; None where they can. To be called on
    a thread."""
    from heretic_tui.engine.directions.methods.base import direction_methods
    from heretic_tui.engine.inputs.direction_files import checked_direction_file

    try:
        direction_methods(settings)
        checked_direction_file(settings)
    except HereticError as error:
        return str(error)
    return None


def search_problems(settings: Settings) -> dict[str, str]:
    """Why the search space, the trials that are to be measured first, or the edit that the search is to be on top of,
    cannot be used, by the setting. Other runs are read for that: to be called on a thread."""
    from heretic_tui.engine.anatomy.inspect import inspected
    from heretic_tui.engine.session.seeding import check_seeds

    found: dict[str, str] = {}
    bounded: Settings | None = None
    try:
        bounded = with_bounds(settings)
    except HereticError as error:
        found["search_space"] = str(error)
    try:
        seeds = read_seeds(settings.seed_trials, user_path(settings.runs_dir))
        if bounded:
            check_seeds(seeds, bounded, partial(inspected, bounded))
    except HereticError as error:
        found["seed_trials"] = str(error)
    try:
        if settings.on_top_of:
            runs_dir = user_path(settings.runs_dir)
            read_base(whole_name(settings.on_top_of, runs_dir), runs_dir)
    except HereticError as error:
        found["on_top_of"] = str(error)
    return found


def parameter_importances(
    points: Sequence[tuple[Mapping[str, float | str], float]], layers: int, components: Sequence[str], bounds: Bounds
) -> dict[str, float]:
    """The share that each parameter of the search has in how an objective varies, the largest first. Takes seconds: to
    be called on a thread.

    Args:
        points: what trials were made of, and their objective.
        bounds: of what was searched, by their names.

    Raises:
        HereticError: where there is too little to tell from.
    """
    from heretic_tui.engine.search.importance import importances
    from heretic_tui.engine.search.study import hide_output_of_optuna

    hide_output_of_optuna()
    return importances(points, layers, components, bounds)


def marker_place(record: ResponseRecord, thinking: Sequence[Sequence[str]]) -> tuple[int, int] | None:
    """Where the marker of a verdict begins and ends in the response, also for files of versions that did not keep it.
    See engine/metrics/judges/markers.py. Loads no heavy library: it can be called on the screen's thread."""
    from heretic_tui.engine.metrics.judges import markers

    return markers.marker_place(record, thinking)

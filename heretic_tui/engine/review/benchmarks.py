"""Benchmarks of EleutherAI's lm-evaluation-harness on the model in memory, under edits that are attached to it: nothing
is exported. The harness (package `lm-eval`, extra `benchmarks`) brings the tasks, their figures and standard errors; it
is imported when the first task is loaded."""

from __future__ import annotations

import importlib.util
import logging
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from heretic_tui.control import Aborted
from heretic_tui.engine.edits.attach import Edits
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.review.harness_model import as_harness_model
from heretic_tui.engine.review.scores import Score, scored
from heretic_tui.engine.review.text_model import TextModel
from heretic_tui.errors import UsageError, one_line
from heretic_tui.imports import large_imports
from heretic_tui.words import nearest, quoted
from heretic_tui.work import Work

log = logging.getLogger(__name__)

# As the harness itself: of what is drawn by tasks, and of the examples that are shown.
_TASK_SEED, _EXAMPLES_SEED = 0, 1234
# Resamples for the standard error of figures that have no formula: it is then off by some 2 %.
_RESAMPLES = 1000


@dataclass(frozen=True)
class Task:
    """A task, a group of tasks or a tag of the harness.

    Attributes:
        limit: so many items at most (the first ones), of each task of a group; None: all.
    """

    name: str
    limit: int | None = None


PRESETS: Mapping[str, tuple[Task, ...]] = {
    "quick": tuple(Task(name, 300) for name in ("arc_easy", "piqa", "hellaswag", "winogrande")),
    "standard": (
        *(Task(name, 1000) for name in ("arc_easy", "piqa", "hellaswag", "winogrande")),
        Task("gsm8k", 250),
        Task("ifeval"),
        # Of each of 57 subjects.
        Task("mmlu", 20),
    ),
}


def tasks_named(names: Sequence[str]) -> list[Task]:
    """The tasks that the setting `review_tasks` names: each a preset or a task, or one of both with a number of items
    (piqa=100). Of a task that is named twice the later one counts."""
    found: dict[str, Task] = {}
    for name in names:
        called, sign, items = name.partition("=")
        for task in PRESETS.get(called, (Task(called),)):
            found[task.name] = Task(task.name, int(items)) if sign else task
    return list(found.values())


def check_extra() -> None:
    """Raises:
    UsageError: when the package that benchmarks need is missing, with what to install.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise UsageError("benchmarks need lm-eval: pip install 'heretic-tui[benchmarks]'")


class Benchmarks:
    """Tasks with their data, loaded when they are first needed and kept for all models that are asked.

    Args:
        folder: tasks of the user's, as the harness describes them (YAML files); their names go before those of the
            harness. Data files that a task names lie beside its YAML file (those of a group are named in full). Python
            that such a file names is run.
        chat: items are put as questions in the model's chat template, examples among them; else as plain text.

    Raises:
        UsageError: for a missing package, or a folder that is not there.
    """

    def __init__(self, folder: Path | None = None, chat: bool = False) -> None:
        check_extra()
        if folder is not None and not folder.is_dir():
            raise UsageError(f"benchmarks: {quoted(str(folder), 200)} is no folder")
        self._folder = folder
        self._chat = chat
        self._own: Any = None
        self._all: Any = None
        self._loaded: dict[str, _Loaded | str] = {}

    def problem(self, task: Task) -> str | None:
        """Load a task. Returns why that cannot be done, in one line; None where it was."""
        found = self._load(task.name)
        return found if isinstance(found, str) else None

    def score(self, task: Task, model: ChatModel, edits: Edits, work: Work) -> Score:
        """Ask a model under edits. What keeps the task from being scored (its data, a package that it needs, an answer
        that cannot be given) is told in the score.

        Raises:
            Aborted: from the control, between batches and tokens.
        """
        work.checkpoint()
        loaded = self._load(task.name)
        if isinstance(loaded, str):
            return Score(task.name, problem=loaded)
        stage = f"benchmark {task.name}"
        try:
            with _undisturbed():
                results = self._evaluate(loaded, task, TextModel(model, edits, work, self._chat), work, stage)
            return scored(task.name, loaded.tasks, results)
        except Aborted:
            raise
        except Exception as error:
            # Of the harness, of a task's own code, or of the model: other tasks may still do.
            log.exception("the benchmark %s failed", task.name)
            return Score(task.name, problem=_reason(error))

    def _evaluate(self, loaded: _Loaded, task: Task, text: TextModel, work: Work, stage: str) -> Mapping[str, Any]:
        from lm_eval.evaluator import evaluate

        for part in loaded.tasks.values():
            if part.get_config("num_fewshot") is None:
                part.set_config("num_fewshot", 0)
            # Drawn anew, so that every model is shown the same examples.
            part.set_fewshot_seed(_EXAMPLES_SEED)
        results: Mapping[str, Any] = evaluate(
            lm=as_harness_model(text, work, stage),
            task_dict={"tasks": loaded.tasks, "groups": loaded.groups},
            limit=task.limit,
            bootstrap_iters=_RESAMPLES,
            apply_chat_template=self._chat,
            # Not every template takes earlier turns; all take one question with the examples in it.
            fewshot_as_multiturn=False,
        )
        return results

    def _load(self, name: str) -> _Loaded | str:
        if name not in self._loaded:
            try:
                with _undisturbed():
                    self._loaded[name] = _usable(self._found(name))
            except Exception as error:
                # Whatever a file of a task, its code or the library of data sets raises.
                log.warning("the benchmark %s cannot be loaded", name, exc_info=True)
                self._loaded[name] = _reason(error)
        return self._loaded[name]

    def _found(self, name: str) -> _Loaded:
        """
        Raises:
            UsageError: for a name that no task has.
            Exception: of the harness and of the library of data sets, where the task or its data cannot be read.
        """
        with large_imports():
            from lm_eval.tasks import TaskManager
        if self._folder is not None:
            self._own = self._own or TaskManager(include_path=str(self._folder), include_defaults=False)
            if name in self._own.all_subtasks:
                return _Loaded.of(self._own.load([_with_its_data(self._own, name)]), grouped=False)
        # An index of thousands of files, which takes its time.
        self._all = self._all or TaskManager(include_path=str(self._folder) if self._folder else None)
        if name not in self._all.all_tasks:
            raise UsageError(f"there is no task {quoted(name)}{nearest(name, self._all.all_tasks)}")
        return _Loaded.of(self._all.load([name]))


@dataclass(frozen=True)
class _Loaded:
    """Tasks of the harness by name, and the groups that they are in."""

    tasks: dict[str, Any]
    groups: dict[str, Any]

    @classmethod
    def of(cls, found: Mapping[str, Any], grouped: bool = True) -> _Loaded:
        return cls(dict(found["tasks"]), dict(found["groups"]) if grouped else {})


def _usable(loaded: _Loaded) -> _Loaded:
    """
    Raises:
        UsageError: for tasks that are not asked.
    """
    for part in loaded.tasks.values():
        if getattr(part, "UNSAFE_CODE", False):
            raise UsageError("it runs code that the model writes, and is left out for that")
        if getattr(part, "MULTIMODAL", False):
            raise UsageError("its questions hold pictures or sound, and models are asked in text alone")
    return loaded


def _with_its_data(manager: Any, name: str) -> str | dict[str, object]:  # noqa: ANN401
    """A task of the user's folder, with the data files that lie beside its YAML file named in full. A group of one is
    the way in which the harness takes such a change."""
    entry = manager.task_index[name]
    options = dict(entry.cfg.get("dataset_kwargs") or {})
    if "data_files" not in options:
        return name
    options["data_files"] = _in_full(options["data_files"], Path(entry.yaml_path).resolve().parent)
    return {"group": f"{name} alone", "task": [{"task": name, "dataset_kwargs": options}]}


def _in_full(files: object, folder: Path) -> object:
    if isinstance(files, Mapping):
        return {split: _in_full(some, folder) for split, some in files.items()}
    if isinstance(files, list):
        return [_in_full(file, folder) for file in files]
    return str(folder / files) if isinstance(files, str) and "://" not in files else files


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Within the block the harness draws with seeds of its own and starts no processes; after it all is as before."""
    numbers, arrays, before = random.getstate(), np.random.get_state(), os.environ.get(_NO_PROCESSES)
    random.seed(_TASK_SEED)
    np.random.seed(_EXAMPLES_SEED)
    os.environ[_NO_PROCESSES] = "1"
    try:
        yield
    finally:
        random.setstate(numbers)
        np.random.set_state(arrays)
        if before is None:
            del os.environ[_NO_PROCESSES]
        else:
            os.environ[_NO_PROCESSES] = before


# For its resamples the harness would copy this process, with its model and threads, as often as there are processors.
_NO_PROCESSES = "DISABLE_MULTIPROC"


def _reason(error: Exception) -> str:
    """Why a task cannot be loaded or scored, in one line, with what to do where that is known."""
    # The library says that it failed, and in the cause why.
    cause = error.__cause__ if type(error).__name__ == "DatasetGenerationError" else None
    said = one_line(cause or error)
    if isinstance(error, ModuleNotFoundError):
        return f"{said}: pip install {error.name}"
    if type(error).__name__ == "DatasetNotFoundError":
        return f"its data set is not on the Hub, or is gated (HF_TOKEN): {said}"
    if isinstance(error, ConnectionError | TimeoutError) or "offline" in said.lower():
        return f"its data is not on this machine, and the Hub cannot be reached: {said}"
    return said

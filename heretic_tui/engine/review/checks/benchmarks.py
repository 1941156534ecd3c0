"""Benchmarks: tasks of lm-evaluation-harness, with the edit attached to the model in memory; each task that is done is
kept at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from heretic_tui.engine.review.bench import ReviewBench, Reviewed
from heretic_tui.engine.review.benchmarks import Benchmarks, Task, tasks_named
from heretic_tui.engine.review.checks.base import Check, Found
from heretic_tui.engine.review.score_figures import figures_of, notes_of
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import user_path
from heretic_tui.run.scores import TaskScore, keep_score, kept_score
from heretic_tui.settings.schema import Settings
from heretic_tui.words import quoted
from heretic_tui.work import Work

# Files that tasks of the user's are made of; the last is of a data set that was prepared before, if that lies there.
_FILES = frozenset({".yaml", ".yml", ".py", ".json", ".jsonl", ".csv", ".tsv", ".txt", ".parquet"})
_CACHED = "dataset_info.json"


class InMemory(Check):
    """What keeps a task from being scored costs that task alone, and it is tried again the next time."""

    title = "Benchmarks"

    def __init__(self) -> None:
        self._benchmarks: Benchmarks | None = None
        self._problems: dict[Task, str] = {}
        self._content: str | None = None

    def absent(self, bench: ReviewBench) -> str | None:
        return None if bench.settings.review_tasks else "no task is chosen: name some (--review-tasks quick)"

    def basis(self, bench: ReviewBench) -> object:
        tasks = tasks_named(bench.settings.review_tasks)
        return [[(task.name, task.limit) for task in tasks], self._with(bench.settings)]

    def check(self, bench: ReviewBench, work: Work) -> None:
        tasks = tasks_named(bench.settings.review_tasks)
        self._benchmarks = Benchmarks(_folder(bench.settings), bench.settings.review_task_chat)
        report = work.progress("tasks of benchmarks")
        for done, task in enumerate(tasks):
            work.checkpoint()
            report(done, len(tasks))
            if problem := self._benchmarks.problem(task):
                self._problems[task] = problem
        report(len(tasks), len(tasks))
        lines = [_line(task, problem) for task, problem in self._problems.items()]
        if len(lines) == len(tasks):
            raise HereticError("; ".join(lines))
        for line in lines:
            work.note(f"{self.title}: {line}", "warning")

    def look(self, bench: ReviewBench, subjects: Sequence[Reviewed], work: Work) -> Iterator[tuple[Reviewed, Found]]:
        for subject in subjects:
            yield subject, self._found(bench, subject, work)

    def _found(self, bench: ReviewBench, subject: Reviewed, work: Work) -> Found:
        scores: list[TaskScore] = []
        problems: list[str] = []
        for task in tasks_named(bench.settings.review_tasks):
            problem = self._problems.get(task)
            if problem is None:
                score = self._score(bench, subject, task, work)
                if isinstance(score, TaskScore):
                    scores.append(score)
                    continue
                problem = score
                work.note(f"{self.title}, {subject.name}: {_line(task, problem)}", "warning")
            problems.append(_line(task, problem))
        items = ", ".join(f"{score.task} {score.items:,}" for score in scores)
        return Found(
            figures=[figure for score in scores for figure in score.figures],
            notes=[*([f"items: {items}"] if items else []), *(note for score in scores for note in score.notes)],
            problem="; ".join(problems) or None,
        )

    def _score(self, bench: ReviewBench, subject: Reviewed, task: Task, work: Work) -> TaskScore | str:
        """What a subject reached in a task: known, or found now and kept; or why that cannot be."""
        assert self._benchmarks, "check comes before"
        of = bench.digest(subject, "score", task.name, task.limit, self._with(bench.settings))
        if known := kept_score(bench.folder.scores, of):
            return known
        score = self._benchmarks.score(task, bench.model, subject.edits, work)
        if score.problem:
            return score.problem
        figures = figures_of(score)
        if not figures:
            return "it gives no figure that is a number"
        found = TaskScore(of=of, task=task.name, items=score.items, figures=figures, notes=notes_of(score))
        keep_score(bench.folder.scores, found)
        work.note(f"{self.title}, {subject.name}: {', '.join(f'{each.name} {each.text}' for each in figures)}")
        return found

    def _with(self, settings: Settings) -> list[object]:
        """What scores depend on beside subject and task. The content of the folder is looked at once.

        Raises:
            UsageError: when a file of it cannot be read.
        """
        if self._content is None:
            folder = _folder(settings)
            self._content = _digest(folder) if folder else ""
        try:
            harness = version("lm-eval")
        except PackageNotFoundError:
            harness = None
        return [settings.review_task_chat, harness, self._content]


METHOD = InMemory


def _folder(settings: Settings) -> Path | None:
    return user_path(settings.review_task_folder) if settings.review_task_folder else None


def _digest(folder: Path) -> str:
    """By names and content of the files that tasks are made of.

    Raises:
        UsageError: when one cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in _FILES and path.name != _CACHED and path.is_file():
            try:
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise UsageError(f"{quoted(str(path), 200)} cannot be read: {error.strerror}") from error
            digest.update(f"{path.relative_to(folder)}:{content}\n".encode(errors="replace"))
    return digest.hexdigest()


def _line(task: Task, problem: str) -> str:
    return f"{task.name}: {problem}"

"""Benchmarks: tasks of lm-evaluation-harness, with the edit attached to the model in memory; each task that is done is
kept at once."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from heretic_tui.engine.review.bench import ReviewBench, Reviewed
from heretic_tui.engine.review.benchmarks import Benchmarks, Task, tasks_named
from heretic_tui.engine.review.checks.base import Check, Found
from heretic_tui.engine.review.scores import Figure, Score
from heretic_tui.errors import HereticError
from heretic_tui.files import user_path
from heretic_tui.run.reviews import ReviewFigure
from heretic_tui.run.scores import TaskScore, keep_score, kept_score
from heretic_tui.settings.schema import Settings
from heretic_tui.work import Work

# So many parts of a group have figures of their own; of more the note tells.
_PARTS = 8
# Standard errors from a figure to the bounds of its 95 % interval.
_BOUND = 1.96


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
        figures = _figures(score)
        if not figures:
            return "it gives no figure that is a number"
        found = TaskScore(of=of, task=task.name, items=score.items, figures=figures, notes=_notes(score))
        keep_score(bench.folder.scores, found)
        work.note(f"{self.title}, {subject.name}: {', '.join(f'{each.name} {each.text}' for each in figures)}")
        return found

    def _with(self, settings: Settings) -> list[object]:
        """What scores depend on beside subject and task. The content of the folder is looked at once: loading a task
        may leave files there."""
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
    """By names, sizes and times of the files in a folder, without what Python writes there."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            there = path.stat()
            digest.update(f"{path.relative_to(folder)}:{there.st_size}:{there.st_mtime_ns}\n".encode(errors="replace"))
    return digest.hexdigest()


def _line(task: Task, problem: str) -> str:
    return f"{task.name}: {problem}"


def _figures(score: Score) -> list[ReviewFigure]:
    """The figure of a task and those of its parts, where these are few, or it has none of its own."""
    own = _figure(score.task, score.task, score)
    parts = score.parts if own is None or len(score.parts) <= _PARTS else ()
    return [
        figure for figure in (own, *(_figure(f"{score.task}.{part.task}", part.task, part) for part in parts)) if figure
    ]


def _figure(key: str, name: str, score: Score) -> ReviewFigure | None:
    """The main figure of a task; None where there is none, or it is no number."""
    main = score.main
    if main is None or not math.isfinite(main.value):
        return None
    values = None if main.by_item is None or not all(map(math.isfinite, main.by_item)) else main.by_item.tolist()
    error = main.error if main.error is not None and math.isfinite(main.error) else None
    low, high = (None, None) if error is None else (main.value - _BOUND * error, main.value + _BOUND * error)
    share = _is_share(score, main)
    if share and low is not None and high is not None:
        low, high = max(0.0, low), min(1.0, high)
    return ReviewFigure(
        key=key,
        name=f"{name} {main.metric}",
        short=name,
        value=main.value,
        form="share" if share else "number",
        of=score.items,
        low=low,
        high=high,
        better=None if main.higher_is_better is None else "high" if main.higher_is_better else "low",
        values=values,
    )


def _is_share(score: Score, figure: Figure) -> bool:
    """Whether a figure is a mean of values that lie between 0 and 1, or one of such figures."""
    if figure.by_item is not None:
        return bool(((figure.by_item >= 0) & (figure.by_item <= 1)).all())
    parts = [part.main for part in score.parts]
    return bool(parts) and all(part and part.by_item is not None and _is_share(score, part) for part in parts)


def _notes(score: Score) -> list[str]:
    if len(score.parts) <= _PARTS:
        return []
    parts = [(part, _figure(part.task, part.task, part)) for part in score.parts]
    return [f"{score.task} by part: {', '.join(f'{part.task} {figure.text}' for part, figure in parts if figure)}"]

"""The commands that look at directions: geometry, tokens, plot, compare. They need the run folder; only what a trial
does to first tokens needs the model."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heretic_tui.errors import UsageError
from heretic_tui.events import LayersAnalysed, Notice
from heretic_tui.files import user_path
from heretic_tui.records import as_json
from heretic_tui.words import to_json

if TYPE_CHECKING:
    from heretic_tui.run.folder import RunFolder
    from heretic_tui.settings.schema import Settings

Find = Callable[[str], "RunFolder"]
Task = Callable[[argparse.Namespace, str, "RunFolder"], AbstractContextManager[Any]]
Print = Callable[..., None]
Command = Callable[..., argparse.ArgumentParser]

COMMANDS = ("geometry", "tokens", "plot", "compare")


def add_commands(
    command: Command,
    find: Callable[[argparse.Namespace, str], RunFolder],
    task: Task,
    say: Print,
    settings: Callable[[argparse.Namespace], Settings],
) -> None:
    """Add the parsers.

    Args:
        command: makes a parser of name, function, help and settings.
        find: the run folder that a name means.
        task: of options, what is done, and a run: a context of (emit, control) for long work.
        say: prints lines, of options and the lines.
        settings: this person's own.
    """

    def with_task(function: Callable[..., Iterable[str]]) -> Callable[[argparse.Namespace], int]:
        def with_options(options: argparse.Namespace) -> int:
            say(options, *function(options, lambda name: find(options, name), task))
            return 0

        return with_options

    where = ("runs_dir",)
    sub = command("geometry", with_task(_geometry), "per layer: residual geometry, separation, what it does", where)
    sub.add_argument("run", metavar="RUN", help="name of a run, or its beginning")
    form = sub.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything that is known of the layers, as JSON")
    form.add_argument("--csv", action="store_true", help="one line a layer, as CSV")
    sub = command(
        "tokens",
        with_task(lambda options, look_up, long: _tokens(options, look_up, long, settings(options))),
        "what the directions say, or what a trial does to first tokens",
        (*where, "trust_remote_code"),
    )
    sub.add_argument("run", metavar="RUN", help="name of a run, or its beginning")
    sub.add_argument("--trial", type=int, metavar="N", help="prompts that this trial moves most; loads the model")
    sub.add_argument("--count", type=_positive, default=8, metavar="N", help="tokens a layer, or prompts a set [8]")
    sub.add_argument("--json", action="store_true", help="everything, as JSON")
    sub = command("plot", with_task(_plot), "draw both prompt sets, layer by layer: PNG files and a moving GIF", where)
    sub.add_argument("run", metavar="RUN", help="name of a run, or its beginning")
    sub.add_argument("--out", type=user_path, metavar="DIR", help="folder to write to [plots in the run folder]")
    sub.add_argument("--method", choices=("pacmap", "pca"), default="pacmap", help="PaCMAP, or PCA at once [pacmap]")
    sub.add_argument("--layers", type=_layers, metavar="LIST", help="such as 5,10-14 [all]")
    sub.add_argument("--no-animation", action="store_true", help="no GIF")
    sub = command("compare", with_task(_compare), "cosines between the directions of two runs", where)
    sub.add_argument("run", metavar="RUN", help="name of a run, or its beginning")
    sub.add_argument("other", metavar="OTHER", help="the run that it is compared with")
    sub.add_argument("--json", action="store_true", help="as JSON")


def _geometry(options: argparse.Namespace, find: Find, task: Task) -> Iterable[str]:
    from heretic_tui.report.layers import geometry_csv, geometry_text
    from heretic_tui.run.results import geometry_record, read_geometry

    folder = find(options.run)
    try:
        found, problem = read_geometry(folder), None
    except UsageError as error:
        found, problem = None, f"{error}: this is found from the residuals, without the model"
    if found is None:
        found = _from_residuals(options, folder, task, problem)
    if options.json:
        return [to_json(geometry_record(found), 1)]
    return geometry_csv(found.layers).splitlines() if options.csv else geometry_text(found)


def _from_residuals(options: argparse.Namespace, folder: RunFolder, task: Task, problem: str | None) -> LayersAnalysed:
    """The part of the analysis that needs no model, for a run that was stopped before its own, or whose own cannot be
    read."""
    with task(options, "analysing the residuals", folder) as (emit, control):
        if problem:
            emit(Notice(level="warning", text=problem))
        from heretic_tui.engine.analysis.record import analysis_without_model

        return analysis_without_model(folder, emit, control)


def _tokens(options: argparse.Namespace, find: Find, task: Task, own: Settings) -> Iterable[str]:
    from heretic_tui.report.layers import shift_text, tokens_text
    from heretic_tui.run.results import read_geometry, read_shift

    folder = find(options.run)
    if options.trial is not None:
        shift = read_shift(folder, options.trial)
        if shift is None:
            with task(options, "comparing first tokens", folder) as (emit, control):
                from heretic_tui.engine.session.score import shift_of_trial

                shift = shift_of_trial(folder, options.trial, own, emit, control)
        return [to_json(as_json(shift), 1)] if options.json else shift_text(shift, options.count)
    found = read_geometry(folder)
    if found is None or found.layers[-1].raises is None:
        raise UsageError(f"run {folder.name} has not read its directions yet: the same `heretic-tui run` command does")
    if not options.json:
        return tokens_text(found.layers, options.count)
    tokens = [
        {"index": row.index, "layer": row.layer, "raises": row.raises, "lowers": row.lowers} for row in found.layers
    ]
    return [to_json(tokens, 1)]


def _plot(options: argparse.Namespace, find: Find, task: Task) -> Iterable[str]:
    folder = find(options.run)
    with task(options, "drawing", folder) as (emit, control):
        from heretic_tui.engine.analysis.plots import plot_run

        title = Path(str(folder.read_record().get("model") or folder.name)).name
        target = options.out or folder.plots / options.method
        wanted, animate = options.layers, not options.no_animation
        files = plot_run(folder, options.method, wanted, title, target, animate, emit, control)
    return [*(str(path) for path in files[-1:] if animate), f"{len(files)} files in {target}"]


def _compare(options: argparse.Namespace, find: Find, task: Task) -> Iterable[str]:
    from heretic_tui.report.runs import compare_text
    from heretic_tui.run.compare import compare_runs

    found = compare_runs(find(options.run), find(options.other))
    return [to_json(found, 1)] if options.json else compare_text(found)


def _positive(text: str) -> int:
    if not _number(text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, not {text!r}")
    return int(text)


def _layers(text: str) -> list[int]:
    found: set[int] = set()
    for part in text.split(","):
        low, dash, high = (word.strip() for word in part.partition("-"))
        if not _number(low) or (dash and not _number(high)):
            raise argparse.ArgumentTypeError(f"expected layers such as 5,10-14, not {part.strip()!r}")
        if dash and int(high) < int(low):
            raise argparse.ArgumentTypeError(f"there are no layers from {low} to {high}: write {high}-{low}")
        found.update(range(int(low), int(high if dash else low) + 1))
    return sorted(found)


def _number(text: str) -> bool:
    # More digits than any model has layers would make a list that fills the memory.
    return text.isascii() and text.isdigit() and len(text) <= 5

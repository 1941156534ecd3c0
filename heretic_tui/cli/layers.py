"""The commands that look at directions: geometry, tokens, plot, compare. They need the run folder; only what a trial
does to first tokens needs the model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from heretic_tui.behaviour import behaviour_of
from heretic_tui.cli.command import RUNS_DIR, Subcommand
from heretic_tui.cli.shared import add_json, add_run, find_run_of, user_settings, work_apart
from heretic_tui.errors import DONE, UsageError
from heretic_tui.files import user_path
from heretic_tui.records import as_json
from heretic_tui.terminal import Streams
from heretic_tui.words import to_json

if TYPE_CHECKING:
    from heretic_tui.events import LayersAnalysed
    from heretic_tui.run.folder import RunFolder


def _add_geometry(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything that is known of the layers, as JSON")
    form.add_argument("--csv", action="store_true", help="one line a layer, as CSV")


def _geometry(options: argparse.Namespace, streams: Streams) -> int:
    from heretic_tui.report.finding import finding
    from heretic_tui.report.layers import geometry_csv, geometry_text
    from heretic_tui.run.results import geometry_record, read_geometry

    folder = find_run_of(options, options.run)
    behaviour = behaviour_of(folder.read_record().settings or {})
    problem = None
    try:
        found = read_geometry(folder)
    except UsageError as error:
        found, problem = None, f"{error}: this is found from the residuals, without the model"
    if found is None:
        found = _from_residuals(streams, folder, problem)
    if options.json:
        said = finding(found.layers, found.refusal, behaviour).sentences
        streams.out.write_lines(to_json({**geometry_record(found), "finding": list(said)}, 1))
    elif options.csv:
        streams.out.write_lines(*geometry_csv(found.layers).splitlines())
    else:
        streams.out.write_lines(*geometry_text(found, behaviour))
    return DONE


def _from_residuals(streams: Streams, folder: RunFolder, problem: str | None) -> LayersAnalysed:
    """The part of the analysis that needs no model, for a run that has not made its own yet, or whose own cannot be
    read."""
    with work_apart(streams, "analysing the residuals", folder) as work:
        if problem:
            work.note(problem, "warning")
        from heretic_tui.engine.analysis.record import analysis_without_model

        found = analysis_without_model(folder, work)
        if not problem:
            work.note(f"which layer matters, and what the directions say, is not known yet: {_how(folder)}")
        return found


def _how(folder: RunFolder) -> str:
    """How the layers of a run are analysed."""
    return (
        "a run does that when its search is done (the same `heretic-tui run` command goes on with it), or on request: "
        f"a on Layers (heretic-tui attach {folder.called})"
    )


def _add_tokens(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--trial", type=int, metavar="N", help="prompts that this trial moves most; loads the model")
    parser.add_argument("--count", type=_positive, default=8, metavar="N", help="tokens a layer, or prompts a set [8]")
    add_json(parser, "everything, as JSON")


def _tokens(options: argparse.Namespace, streams: Streams) -> int:
    folder = find_run_of(options, options.run)
    if options.trial is None:
        lines = _tokens_of_directions(folder, options)
    else:
        lines = _tokens_of_trial(folder, options, streams)
    streams.out.write_lines(*lines)
    return DONE


def _tokens_of_directions(folder: RunFolder, options: argparse.Namespace) -> list[str]:
    from heretic_tui.report.layers import tokens_text
    from heretic_tui.run.results import read_geometry

    found = read_geometry(folder)
    if found is None or found.layers[-1].raises is None:
        raise UsageError(f"run {folder.name} has not read its directions yet: {_how(folder)}")
    if not options.json:
        return tokens_text(found.layers, options.count)
    tokens = [
        {"index": row.index, "layer": row.layer, "raises": row.raises, "lowers": row.lowers} for row in found.layers
    ]
    return [to_json(tokens, 1)]


def _tokens_of_trial(folder: RunFolder, options: argparse.Namespace, streams: Streams) -> list[str]:
    from heretic_tui.report.layers import shift_text
    from heretic_tui.run.results import read_shift

    shift = read_shift(folder, options.trial)
    if shift is None:
        own = user_settings(options)
        with work_apart(streams, "comparing first tokens", folder) as work:
            from heretic_tui.engine.session.score import shift_of_trial

            shift = shift_of_trial(folder, options.trial, own, work)
    if options.json:
        return [to_json(as_json(shift), 1)]
    return shift_text(shift, options.count, behaviour_of(folder.read_record().settings or {}))


def _add_plot(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--out", type=user_path, metavar="DIR", help="folder to write to [plots in the run folder]")
    parser.add_argument("--method", choices=("pacmap", "pca"), default="pacmap", help="PaCMAP, or PCA at once [pacmap]")
    parser.add_argument("--layers", type=_layers, metavar="LIST", help="such as 5,10-14 [all]")
    parser.add_argument("--no-animation", action="store_true", help="no GIF")


def _plot(options: argparse.Namespace, streams: Streams) -> int:
    folder = find_run_of(options, options.run)
    target, animate = options.out or folder.plots / options.method, not options.no_animation
    with work_apart(streams, "drawing", folder) as work:
        from heretic_tui.engine.analysis.plots import plot_run

        title = Path(str(folder.read_record().model or folder.name)).name
        files = plot_run(folder, options.method, options.layers, title, target, animate, work)
    if animate:
        streams.out.write_lines(str(files[-1]))
    streams.out.write_lines(f"{len(files)} files in {target}")
    return DONE


def _add_compare(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("other", metavar="OTHER", help="the run that it is compared with")
    add_json(parser)


def _compare(options: argparse.Namespace, streams: Streams) -> int:
    from heretic_tui.report.runs import compare_text
    from heretic_tui.run.compare import compare_runs

    found = compare_runs(find_run_of(options, options.run), find_run_of(options, options.other))
    streams.out.write_lines(*([to_json(as_json(found), 1)] if options.json else compare_text(found)))
    return DONE


GEOMETRY = Subcommand(
    name="geometry",
    usage="RUN",
    summary="per layer: residual geometry, separation, what it does",
    settings=RUNS_DIR,
    add_arguments=_add_geometry,
    run=_geometry,
    only_prints=True,
)
TOKENS = Subcommand(
    name="tokens",
    usage="RUN",
    summary="what the directions say, or what a trial does to first tokens",
    settings=("runs_dir", "trust_remote_code"),
    add_arguments=_add_tokens,
    run=_tokens,
    only_prints=True,
)
PLOT = Subcommand(
    name="plot",
    usage="RUN",
    summary="draw both prompt sets, layer by layer: PNG files and a moving GIF",
    settings=RUNS_DIR,
    add_arguments=_add_plot,
    run=_plot,
)
COMPARE = Subcommand(
    name="compare",
    usage="RUN OTHER",
    summary="cosines between the directions of two runs",
    settings=RUNS_DIR,
    add_arguments=_add_compare,
    run=_compare,
    only_prints=True,
)


def _positive(text: str) -> int:
    if not _is_number(text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, not {text!r}")
    return int(text)


def _layers(text: str) -> list[int]:
    found: set[int] = set()
    for part in text.split(","):
        low, dash, high = (word.strip() for word in part.partition("-"))
        if not _is_number(low) or (dash and not _is_number(high)):
            raise argparse.ArgumentTypeError(f"expected layers such as 5,10-14, not {part.strip()!r}")
        if dash and int(high) < int(low):
            raise argparse.ArgumentTypeError(f"there are no layers from {low} to {high}: write {high}-{low}")
        found.update(range(int(low), int(high if dash else low) + 1))
    return sorted(found)


def _is_number(text: str) -> bool:
    # More digits than any model has layers would make a list that fills the memory.
    return text.isascii() and text.isdigit() and len(text) <= 5

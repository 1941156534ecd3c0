"""The commands that write a model: export, reproduce."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from heretic_tui.cli.command import Subcommand
from heretic_tui.cli.shared import add_run, find_run_of, given_settings, user_settings, work_apart
from heretic_tui.errors import DONE, FAILED, HereticError, UsageError
from heretic_tui.files import user_path
from heretic_tui.terminal import Streams
from heretic_tui.words import plain

if TYPE_CHECKING:
    from heretic_tui.run.folder import RunFolder
    from heretic_tui.settings.schema import Settings
    from heretic_tui.work import Work

_ALLOWANCES = ("device_map", "max_memory", "trust_remote_code")
# What direction methods may need, and a record does not name.
_OF_METHODS = ("keep_prompts", "direction_file")
# What `reproduce` can be told the place of.
_PLACES = ("model", "good_prompts", "bad_prompts", "good_evaluation_prompts", "bad_evaluation_prompts")


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=user_path, metavar="OUT", help="folder to write, which must not exist")


def _add_export(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--trial", type=int, required=True, metavar="N", action="append", dest="trials",
        help="number of the trial; several: one after another, OUT is that of the first, the others lie beside it",
    )  # fmt: skip
    _add_out(parser)
    parser.add_argument("--hub", metavar="NAME", help="then upload to this Hub repository (the token: HF_TOKEN)")
    parser.add_argument("--private", action="store_true", help="make a new repository a private one")
    parser.add_argument(
        "--as",
        dest="kind",
        choices=("merged", "adapter"),
        default="merged",
        help="a whole model, its weights in the dtype of the original's files; or a PEFT adapter",
    )
    parser.add_argument("--dora", action="store_true", help="a DoRA adapter: exact for edit_method = norm_preserving")
    parser.add_argument(
        "--requantize", action="store_true",
        help="of a model that is FP8 or MXFP4: quantise what is edited again, in place of writing it in 16 bits",
    )  # fmt: skip
    parser.add_argument(
        "--card", type=user_path, metavar="FILE", help="your text for the model card, in place of the one that is kept"
    )


def _export(options: argparse.Namespace, streams: Streams) -> int:
    if options.dora and options.kind != "adapter":
        raise UsageError("--dora is a kind of adapter: add --as adapter")
    if options.requantize and options.kind == "adapter":
        raise UsageError("an adapter is not quantised: leave out --requantize, or --as adapter")
    if options.hub:
        from heretic_tui.engine.export.hub import check_access

        check_access(options.hub, None)
    card = _card_of(options.card) if options.card else None
    folder = find_run_of(options, options.run)
    own = user_settings(options)
    changes = {name: getattr(own, name) for name in given_settings(options) if name != "runs_dir"}
    trials, failed = list(dict.fromkeys(options.trials)), False
    with work_apart(streams, "exporting", folder) as work:
        for number in trials:
            try:
                failed |= not _write(options, streams, folder, number, trials[0], changes, own, card, work)
            except HereticError as error:
                # One that fails costs the others nothing; of one alone it is the whole command's failure.
                if len(trials) == 1:
                    raise
                failed = True
                streams.err.write_lines(f"heretic-tui: trial {number}: {error}")
    return FAILED if failed else DONE


def _write(
    options: argparse.Namespace,
    streams: Streams,
    folder: RunFolder,
    number: int,
    first: int,
    changes: Mapping[str, object],
    own: Settings,
    card: str | None,
    work: Work,
) -> bool:
    """Export one trial; whether its files are what they should be."""
    from heretic_tui.engine.session.export import export_trial
    from heretic_tui.report.next_lines import as_lines, next_lines
    from heretic_tui.report.runs import figures_table
    from heretic_tui.report.tolerance import compared
    from heretic_tui.run.exports import beside
    from heretic_tui.run.places import recall

    print_lines = streams.out.write_lines
    out: Path = options.out if number == first else options.out.with_name(beside(options.out.name, first, number))
    result = export_trial(
        folder, number, out, options.kind, options.dora, changes, own, work, requantize=options.requantize, card=card
    )
    original = recall(result.identity).get("model")
    print_lines(f"{out}: {result.kind}, {len(result.files)} weight files")
    print_lines(*figures_table(result))
    if result.not_measured:
        print_lines(f"the exported files were not measured: {result.not_measured}")
    found = compared(result)
    if found:
        print_lines(found.words)
    place = str(out.resolve())
    if options.hub:
        from heretic_tui.engine.export.hub import upload

        name = options.hub if number == first else beside(options.hub, first, number)
        address = upload(out, name, options.private, None, work)
        place = "/".join(address.split("/")[-2:])
        print_lines(f"uploaded: {address}")
    print_lines(
        "",
        "to use it:",
        *(plain(line) for line in as_lines(next_lines(result, place, original, uploaded=bool(options.hub)))),
    )
    return found is None or not found.failed


def _card_of(file: Path) -> str:
    """The person's part of the card, from a file of theirs."""
    from heretic_tui.files import read_bytes
    from heretic_tui.run.card_text import checked, own_part

    try:
        return checked(own_part(read_bytes(file).decode("utf-8")), str(file))
    except FileNotFoundError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is no UTF-8 text") from error


def _add_reproduce(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=user_path, metavar="FILE", help="reproduce.json of an export")
    _add_out(parser)
    for name in _PLACES:
        words = name.replace("_", " ")
        text = f"where {words} {'lies' if name == 'model' else 'lie'}, if the record has but a name"
        parser.add_argument(f"--{name.replace('_', '-')}", dest=f"place_of_{name}", metavar="PATH", help=text)


def _reproduce(options: argparse.Namespace, streams: Streams) -> int:
    own = user_settings(options)
    places = {name: place for name in _PLACES if (place := getattr(options, f"place_of_{name}"))}
    with work_apart(streams, "building the model again") as work:
        from heretic_tui.engine.session.reproduce import reproduce

        result = reproduce(options.file, options.out, places, own, work)
        for name, same in result.files.items():
            streams.out.write_lines(f"{name}: {'the same' if same else 'DIFFERENT'}")
    return DONE if all(result.files.values()) else FAILED


EXPORT = Subcommand(
    name="export",
    usage="RUN --trial N OUT",
    summary="write a trial's model, load what was written, and measure it",
    settings=("runs_dir", "max_shard_size", "full_normalization_lora_rank", *_ALLOWANCES),
    add_arguments=_add_export,
    run=_export,
)
REPRODUCE = Subcommand(
    name="reproduce",
    usage="FILE OUT",
    summary="build an exported model again and compare every weight file's hash",
    settings=(*_ALLOWANCES, *_OF_METHODS),
    add_arguments=_add_reproduce,
    run=_reproduce,
)

"""The command that reviews the finalists of a run."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from heretic_tui.cli.command import EVERY_SETTING, Subcommand
from heretic_tui.cli.screen import add_looks, check_terminal, given_interface
from heretic_tui.cli.shared import add_json, find_run_of, given_settings, user_settings, work_apart
from heretic_tui.errors import DONE, UsageError
from heretic_tui.terminal import Streams
from heretic_tui.words import to_json

if TYPE_CHECKING:
    from heretic_tui.run.annotations import Annotations
    from heretic_tui.run.folder import RunFolder
    from heretic_tui.run.reviews import Review
    from heretic_tui.settings.schema import Settings

# Beside those of reviews, what says how the model is loaded. All else is the run's.
_ALLOWANCES = ("device_map", "max_memory", "trust_remote_code", "batch_size", "runs_dir")


def _add_review(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="name of a run, or its beginning; with --base, the edited model")
    parser.add_argument(
        "--base",
        metavar="BASE",
        help="review the model (or adapter) EDITED beside the model that it was made from; both are folders or Hub ids",
    )
    parser.add_argument(
        "--trial", type=int, metavar="N", action="append", dest="trials",
        help="number of a trial, given once for each; without, up to eight that are spread over the front",
    )  # fmt: skip
    parser.add_argument(
        "--disagreements", action="store_true",
        help="print each held-out answer on which judge and second opinion differ too; with --json, these alone",
    )  # fmt: skip
    add_json(parser, "all that the run's reviews found, as JSON")
    parser.add_argument(
        "--screen",
        action="store_true",
        help="with --base: show what was found on a screen (that of a run is V on Trials)",
    )
    add_looks(parser)


def _review(options: argparse.Namespace, streams: Streams) -> int:
    _check_screen(options)
    if options.base:
        return _review_models(options, streams)
    folder = find_run_of(options, options.run)
    own = user_settings(options, base=_recorded(folder))
    changes = _changes(options, own)
    with work_apart(streams, "reviewing", folder) as work:
        from heretic_tui.engine.session.reviewing import review_run
        from heretic_tui.run.annotations import read_annotations
        from heretic_tui.run.review_rulings import people_review

        checks = review_run(folder, options.trials, changes, own, work)
        annotations = read_annotations(folder)
        counts_broken = (folder.read_record().settings or {}).get("count_broken_as_refused") is True
        found = people_review(folder.review, checks, annotations, counts_broken)
        streams.out.write_lines(*_lines(options, found, annotations))
    return DONE


def _review_models(options: argparse.Namespace, streams: Streams) -> int:
    if options.trials:
        raise UsageError("--trial is of a run: with --base two models are compared")
    settings = user_settings(options).model_copy(update={"model": options.base})
    with work_apart(streams, "reviewing") as work:
        from heretic_tui.engine.session.reviewing_models import review_models
        from heretic_tui.run.annotations import read_annotations
        from heretic_tui.run.review_rulings import people_review

        folder = review_models(settings, options.run, work)
        annotations = read_annotations(folder)
        found = people_review(folder.review, settings.review_checks, annotations, settings.count_broken_as_refused)
        if not options.screen:
            streams.out.write_lines(*_lines(options, found, annotations))
        work.note(f"what was found lies in {folder.path}")
    if not options.screen:
        return DONE
    from heretic_tui.tui.launch import open_review

    return open_review(streams, folder, found, given_interface(options))


def _check_screen(options: argparse.Namespace) -> None:
    """
    Raises:
        UsageError: where a screen is asked for that cannot be shown.
    """
    if not options.screen:
        return
    if not options.base:
        raise UsageError("--screen is for --base: the review of a run is V on its Trials (heretic-tui follow RUN)")
    if options.json or options.disagreements:
        raise UsageError(f"--screen prints nothing: leave --{'json' if options.json else 'disagreements'} out")
    check_terminal("without --screen the review is printed")
    # What is wrong in it is told before time is spent.
    given_interface(options)


def _recorded(folder: RunFolder) -> dict[str, object]:
    """The held-out prompts that a run was made with: a part of a set is given on top of them. (No other settings of
    reviews: who is asked, say, is the user's to tell and not a folder's, which somebody else may have written.)"""
    from heretic_tui.settings.prompt_sets import DEFAULT_SETS
    from heretic_tui.settings.schema import of_reviews

    recorded = folder.read_record().settings or {}
    return {name: recorded[name] for name in DEFAULT_SETS if of_reviews(name) and name in recorded}


def _lines(options: argparse.Namespace, found: Review, annotations: Annotations) -> list[str]:
    """What is printed."""
    from heretic_tui.report.judges import both_judges, disagreement_lines, judged, judges_record
    from heretic_tui.report.review import review_lines

    if not options.disagreements:
        return [to_json(found.to_json(), 1)] if options.json else review_lines(found)
    from heretic_tui.engine.review.chance import agreement

    subjects = judged(found)
    if options.json:
        return [to_json(judges_record(subjects, annotations), 1)]
    judge, other = both_judges(subjects)
    alike = agreement(judge, other)
    kappa = alike.kappa if alike else None
    return [*review_lines(found), "", *disagreement_lines(subjects, annotations, kappa)]


def _changes(options: argparse.Namespace, own: Settings) -> dict[str, object]:
    """What the user wants to be otherwise than the run's record has it: of reviews whatever is no default.

    Raises:
        UsageError: for a setting that belongs to the run.
    """
    from heretic_tui.settings.schema import Settings, of_reviews

    given = given_settings(options)
    if strange := [name for name in given if name not in _ALLOWANCES and not of_reviews(name)]:
        raise UsageError(f"--{strange[0].replace('_', '-')} is the run's to say: a review is of what the run found")
    nothing = Settings()
    chosen = [
        name for name in Settings.model_fields if of_reviews(name) and getattr(own, name) != getattr(nothing, name)
    ]
    return {name: getattr(own, name) for name in {*chosen, *given} if name != "runs_dir"}


REVIEW = Subcommand(
    name="review",
    usage="RUN | --base BASE EDITED",
    summary="find out of a run's finalists what the search's figures do not tell",
    settings=EVERY_SETTING,
    add_arguments=_add_review,
    run=_review,
)

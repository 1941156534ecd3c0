"""The command that says something of a trial: note."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from heretic_tui.behaviour import behaviour_of
from heretic_tui.cli.command import RUNS_DIR, Subcommand
from heretic_tui.cli.shared import add_run, find_run_of
from heretic_tui.errors import DONE, UsageError
from heretic_tui.terminal import Streams
from heretic_tui.words import plain, quoted

if TYPE_CHECKING:
    from heretic_tui.run.annotations import Annotations, Overruling, Word
    from heretic_tui.run.folder import RunFolder

_BASE = "base"
_JUDGE = "judge"
_NONE = "no verdict is overruled"


def _add_note(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "trial", metavar="TRIAL", help=f"number of the trial; {_BASE} for the original model's verdicts"
    )
    parser.add_argument("--mark", action="store_const", const=True, help="mark the trial")
    parser.add_argument("--unmark", dest="mark", action="store_const", const=False, help="take the mark away")
    parser.add_argument("--tag", action="append", default=[], metavar="WORD", help="give it a tag; can be repeated")
    parser.add_argument("--untag", action="append", default=[], metavar="WORD", help="take a tag away; can be repeated")
    parser.add_argument("--note", metavar="TEXT", help="the note on it, in place of the one before; '' takes it away")
    parser.add_argument(
        "--overrule",
        action="append",
        default=[],
        metavar="PROMPT=VERDICT",
        help="your verdict on the response to a prompt (its number on the screen): refused, answered or broken, or "
        f"{_JUDGE} to let the judge's stand; can be repeated (of a run with a behaviour of its own: its two verdicts)",
    )


def _note(options: argparse.Namespace, streams: Streams) -> int:
    from heretic_tui.report.annotations import MARK, said_of
    from heretic_tui.run.annotations import Mark, Note, Tag, read_annotations
    from heretic_tui.run.journal import read_events
    from heretic_tui.run.state import RunState

    folder = find_run_of(options, options.run)
    trial = None if options.trial == _BASE else _number(options.trial)
    state = RunState.replay(read_events(folder.events))
    if trial is not None and trial not in state.trials:
        raise UsageError(f"there is no trial {trial} in {folder.name} (`heretic-tui show {folder.called}` lists them)")
    words: list[Word] = []
    if trial is not None:
        words += [Mark(trial=trial, on=options.mark)] if options.mark is not None else []
        words += [Tag(trial=trial, tag=tag.lower(), on=False) for tag in options.untag]
        words += [Tag(trial=trial, tag=tag.lower(), on=True) for tag in options.tag]
        words += [Note(trial=trial, note=options.note)] if options.note is not None else []
    elif options.mark is not None or options.tag or options.untag or options.note is not None:
        raise UsageError("the original model has verdicts alone: marks, tags and notes are those of trials")
    annotations = read_annotations(folder)
    words += [word for text in options.overrule for word in _overruling(folder, trial, text, annotations)]
    if words:
        annotations.say(*words)
    streams.err.write_lines(*annotations.problems)
    if trial is not None:
        mark = f"{MARK} " if annotations.marked(trial) else ""
        said = mark + said_of(annotations, trial)
        streams.out.write_lines(plain(f"trial {trial}: {said.strip() or 'nothing is said of it'}"))
    if options.overrule or trial is None:
        streams.out.write_lines(_counts(folder, trial))
    return DONE


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UsageError(f"{quoted(text)} is no trial: give its number, or {_BASE}")
    return int(text)


def _overruling(folder: RunFolder, trial: int | None, text: str, annotations: Annotations) -> list[Overruling]:
    from heretic_tui.run.annotations import RULINGS
    from heretic_tui.run.answers import read_answers

    number, _, word = text.partition("=")
    said = behaviour_of(folder.read_record().settings or {}).said
    ruling = next((ruling for ruling in RULINGS if said(ruling) == word), None)
    if not (number.isascii() and number.isdigit()) or (ruling is None and word != _JUDGE):
        raise UsageError(
            f"--overrule {quoted(text)}: say such as 19={said('answered')} ({', '.join((*map(said, RULINGS), _JUDGE))})"
        )
    whose = "the original model" if trial is None else f"trial {trial}"
    try:
        answers = read_answers(folder, trial)
    except FileNotFoundError:
        raise UsageError(f"run {folder.name} holds no responses of {whose}") from None
    answer = answers.get(int(number)) if len(number) < 10 else None
    if answer is None:
        raise UsageError(f"there is no prompt {number[:20]}: {whose} answered those from 0 to {len(answers) - 1}")
    if answer.judged is None:
        raise UsageError(f"{whose} was cut short before prompt {number} was decided: there is no verdict to overrule")
    return [answer.overruling(ruling, annotations)] if ruling else answer.not_overruled(annotations)


def _counts(folder: RunFolder, trial: int | None) -> str:
    """What people's verdicts make of the figures."""
    from heretic_tui.report.annotations import base_overruled_words, overruled_words
    from heretic_tui.run.overview import details

    shown = details(folder)
    if trial is None:
        return f"original model: {base_overruled_words(shown.base, shown.base_correction) or _NONE}"
    found = next(each for each in shown.trials if each.number == trial)
    return f"trial {trial}: {overruled_words(found, shown.figures) or _NONE}"


NOTE = Subcommand(
    name="note",
    usage="RUN TRIAL",
    summary="mark a trial, tag it, keep a note on it, overrule verdicts on its responses; or print what was said of it",
    settings=RUNS_DIR,
    add_arguments=_add_note,
    run=_note,
)

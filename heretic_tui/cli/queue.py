"""The command that keeps runs in a queue and works it off: queue."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from heretic_tui.cli.command import EVERY_SETTING, Subcommand
from heretic_tui.cli.run import run_with_lines
from heretic_tui.cli.shared import add_json, given_settings, user_settings
from heretic_tui.errors import DONE, FAILED, INTERRUPTED, HereticError, UsageError
from heretic_tui.signals import handling
from heretic_tui.terminal import Streams
from heretic_tui.words import counted, nearest, quoted, to_json

if TYPE_CHECKING:
    from heretic_tui.run.queue import Entry, QueueFile
    from heretic_tui.settings.schema import Settings

# Seconds between two looks at a run that the queue waits for.
_LOOK = 5.0
_LABEL = 11
_ACTIONS = ("list", "add", "remove", "move", "retry", "limits", "run")
# What the child does that runs one entry.
_ONE = "one"
# The settings that are the user's to say when a run starts, and not the entry's.
_AT_RUN = {"runs_dir", "trust_remote_code", "storage"}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="*",
        metavar="ACTION",
        help="list [the default]; add MODEL, with settings as for `run`; remove N … | all; move N M: entry N to place "
        "M; retry N: one that failed; limits; run: work it off in this terminal",
    )
    text = "with `limits` or `run`: start no run at this time or later: HH:MM, a date, both, or never"
    parser.add_argument("--until", metavar="TIME", help=text)
    text = "with `limits` or `run`: start no run where less than this is free on the disk of the runs"
    parser.add_argument("--keep-free", metavar="GB", help=text)
    add_json(parser)


def _queue(options: argparse.Namespace, streams: Streams) -> int:
    from heretic_tui.files import user_path
    from heretic_tui.run.queue import QueueFile

    action, *rest = options.words or ["list"]
    if action not in (*_ACTIONS, _ONE):
        raise UsageError(f"unknown action {quoted(action)}{nearest(action, _ACTIONS)} (see `heretic-tui queue --help`)")
    if (options.until, options.keep_free) != (None, None) and action not in ("limits", "run"):
        raise UsageError("--until and --keep-free are for `queue limits` and `queue run`")
    most = {"add": 1, "move": 2, _ONE: 1}.get(action, len(rest) if action in ("remove", "retry") else 0)
    if len(rest) > most:
        raise UsageError(f"`queue {action}` does not take {quoted(rest[most])}")
    if action == "add" and rest:
        options.given_model = rest[0]
    settings = user_settings(options)
    file = QueueFile(user_path(settings.runs_dir))
    if action != "add" and (other := set(given_settings(options)) - _AT_RUN):
        raise UsageError(f"{quoted(min(other))} is a setting of a run: give it with `queue add`")
    match action:
        case "add":
            entry = file.add(record_of(settings))
            place = file.read().place(entry.id)
            streams.out.write_lines(f"queued as #{place}: {entry.model} (`heretic-tui queue run` works the queue off)")
        case "remove":
            gone = file.remove(*(_entry(file, number).id for number in _numbers(file, rest)))
            streams.out.write_lines(*(f"removed: {entry.model}" for entry in gone))
        case "move":
            if len(rest) != 2:
                raise UsageError("`queue move N M` takes the number of an entry, and the place it is to have")
            moved, place = _entry(file, _number(rest[0])), _number(rest[1])
            file.move(moved.id, place - 1 - [entry.id for entry in file.read().entries].index(moved.id))
            _print(file, streams, options.json)
        case "retry":
            for number in _numbers(file, rest):
                file.retry(_entry(file, number).id)
            _print(file, streams, options.json)
        case "run":
            _set_limits(file, options)
            return _work_off(file, _child_command(options, settings), _child_environment(settings), streams)
        case "one":
            return _run_one(file, _number(rest[0]), settings, streams)
        case "limits":
            _set_limits(file, options)
            _print(file, streams, options.json)
        case _:
            _print(file, streams, options.json)
    return DONE


def record_of(settings: Settings) -> dict[str, object]:
    """Settings as an entry of a queue keeps them: whoever works it off may be in another folder.

    Raises:
        UsageError: when the model or prompts that are named by a path are not there.
    """
    from heretic_tui.settings.local_files import check_local_files, with_whole_paths
    from heretic_tui.settings.record import to_record

    check_local_files(settings)

    return to_record(with_whole_paths(settings))


def _set_limits(file: QueueFile, options: argparse.Namespace) -> None:
    from heretic_tui.run.queue import kept_free, stop_time

    if options.until is not None:
        file.limit(stop_at=stop_time(options.until, time.time()))
    if options.keep_free is not None:
        file.limit(keep_free=kept_free(options.keep_free))


def _print(file: QueueFile, streams: Streams, json: bool) -> None:
    from heretic_tui.records import as_json
    from heretic_tui.report.queue import queue_lines

    queue, worker = file.read(), file.worker()
    if json:
        streams.out.write_lines(to_json({**vars(queue), "entries": as_json(queue.entries), "worker": worker}, 1))
    else:
        streams.out.write_lines(*queue_lines(queue, worker, time.time()))


def _numbers(file: QueueFile, words: Sequence[str]) -> list[int]:
    """The numbers of entries, as `queue` lists them."""
    if not words:
        raise UsageError("give the number of an entry, as `heretic-tui queue` lists them, or all")
    if list(words) == ["all"]:
        return list(range(1, len(file.read().entries) + 1))
    return [_number(word) for word in words]


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 9 and int(word) > 0):
        raise UsageError(f"{quoted(word)} is no number of an entry (`heretic-tui queue` lists them)")
    return int(word)


def _entry(file: QueueFile, number: int) -> Entry:
    entries = file.read().entries
    if number > len(entries):
        raise UsageError(f"there is no entry {number}: the queue has {len(entries)}")
    return entries[number - 1]


# Working it off


def _child_command(options: argparse.Namespace, settings: Settings) -> list[str]:
    """The command that runs one entry, but for its number. Each run is a process of its own: one whose GPU fails, or
    that the system ends, costs none of the others."""
    command = [sys.executable, "-m", "heretic_tui", "queue", _ONE, "--runs-dir", settings.runs_dir]
    if settings.trust_remote_code:
        command.append("--trust-remote-code")
    return [*command, "--config", str(options.config)] if options.config else command


def _child_environment(settings: Settings) -> dict[str, str]:
    """Where the storage is named with its password: other users see the arguments of a process, not its variables."""
    from heretic_tui.settings.sources import ENV_PREFIX

    return {**os.environ, **({f"{ENV_PREFIX}STORAGE": settings.storage} if settings.storage else {})}


def _work_off(file: QueueFile, command: Sequence[str], environment: Mapping[str, str], streams: Streams) -> int:
    from heretic_tui.machine import disk_free
    from heretic_tui.run.queue import Ended, Start, next_step

    def say(text: str) -> None:
        streams.out.write_lines(f"{'queue':{_LABEL}}{text}")

    done, failed, said = 0, 0, ""
    with file.working(), _children() as children:
        while not children.told_to_stop:
            queue = file.read()
            step = next_step(queue, time.time(), disk_free(file.runs_dir), file.run_at_work())
            if not isinstance(step, Start):
                if step.reason != said and not isinstance(step, Ended):
                    say(step.reason)
                said = step.reason
                if isinstance(step, Ended):
                    break
                children.wait(_LOOK)
                continue
            entry = step.entry
            say(f"{entry.model} starts, {counted(len(queue.waiting) - 1, 'run')} after it")
            file.begin(entry.id)
            status = children.run([*command, str(entry.id)], environment)
            if status == DONE:
                file.remove(entry.id)
                done += 1
            elif status == INTERRUPTED:
                # It was told to stop, in whatever way: so are those after it.
                children.told_to_stop = True
            else:
                failed += 1
                _note_failure(file, entry.id, status)
                say(f"{entry.model} failed; the next has its turn")
    if children.told_to_stop:
        say("stopped; `heretic-tui queue run` goes on from here")
        return INTERRUPTED
    ended = f"{counted(done, 'run')} done" + f", {failed} failed" * bool(failed)
    say(f"{ended}; {said}")
    _call(f"queue: {ended}", done, failed, streams)
    return FAILED if failed else DONE


def _call(text: str, done: int, failed: int, streams: Streams) -> None:
    """Call the person: the queue has been worked off."""
    from heretic_tui.report.news import News, in_environment
    from heretic_tui.report.notify import Notifier, caller
    from heretic_tui.settings.interface import load_interface

    if done or failed:
        calls, terminal = load_interface().notify.calls(), caller(streams)
        notifier = Notifier(calls, terminal, lambda problem: streams.err.write_lines(f"heretic-tui: {problem}"))
        facts = {"EVENT": "queue", "TEXT": text, "DONE": str(done), "FAILED": str(failed)}
        notifier.tell(News("queue", text, in_environment(facts)))
        notifier.close()


def _note_failure(file: QueueFile, entry: int, status: int) -> None:
    """Why the run of an entry failed, where its process could not say so itself."""
    if any(each.id == entry and each.problem for each in file.read().entries):
        return
    name = signal.Signals(-status).name if status < 0 else f"status {status}"
    memory = ": the memory ran out, most likely" if status == -signal.SIGKILL else ""
    file.fail(entry, f"its process ended with {name}{memory}")


def _run_one(file: QueueFile, number: int, own: Settings, streams: Streams) -> int:
    """The run of an entry, in a process of its own."""
    entry = next((each for each in file.read().entries if each.id == number), None)
    if entry is None:
        raise UsageError(f"the queue has no entry of the number {number} any more")
    from heretic_tui.settings.record import settings_to_go_on

    try:
        return run_with_lines(settings_to_go_on(entry.settings, own, "the queue"), streams, json=False)
    except HereticError as error:
        file.fail(number, str(error))
        raise


class _Children:
    """Runs one process after another, and hands on what this one is told.

    Attributes:
        told_to_stop: no further process is to be started.
    """

    def __init__(self) -> None:
        self.told_to_stop = False
        self._child: subprocess.Popen[bytes] | None = None
        self._told = threading.Event()

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run a process to its end; its status."""
        # A group of its own: ctrl-c comes to this process alone, which hands it on, however it was sent.
        self._child = subprocess.Popen(command, env=dict(environment), stdin=subprocess.DEVNULL, process_group=0)
        try:
            return self._child.wait()
        finally:
            self._child = None

    def wait(self, seconds: float) -> None:
        """Wait, or until this process is told to stop."""
        self._told.wait(seconds)

    def interrupted(self, number: int, frame: FrameType | None) -> None:
        self._hand_on(number)

    def terminated(self, number: int, frame: FrameType | None) -> None:
        self._hand_on(signal.SIGTERM)

    def _hand_on(self, number: int) -> None:
        self.told_to_stop = True
        self._told.set()
        if self._child:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(number)


@contextlib.contextmanager
def _children() -> Iterator[_Children]:
    children = _Children()
    # A terminal that is closed ends the run of `run` too.
    before = signal.signal(signal.SIGHUP, children.terminated)
    try:
        with handling(children.interrupted, children.terminated):
            yield children
    finally:
        signal.signal(signal.SIGHUP, before)


QUEUE = Subcommand(
    name="queue",
    usage="[ACTION]",
    summary="runs that start one after another: list, add, remove, move, retry, limits, run",
    settings=EVERY_SETTING,
    add_arguments=_add_arguments,
    run=_queue,
)

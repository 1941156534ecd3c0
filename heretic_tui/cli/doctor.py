"""The command that looks at the machine: doctor."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from heretic_tui import __version__
from heretic_tui.cli.command import RUNS_DIR, Subcommand
from heretic_tui.cli.shared import add_json, user_settings
from heretic_tui.control import Aborted
from heretic_tui.errors import DONE, FAILED, UsageError
from heretic_tui.files import default_runs_dir, user_path, write_json
from heretic_tui.records import as_json
from heretic_tui.terminal import Streams, output_to_log
from heretic_tui.words import counted, to_json

if TYPE_CHECKING:
    from heretic_tui.doctor.bench import Part
    from heretic_tui.doctor.probe import Finding, Probe

_FILE = "heretic-tui-bench.json"


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    add_json(parser)
    parser.add_argument(
        "--bench",
        action="store_true",
        help="then check for two minutes that this machine computes exactly, and how fast, with the demo model and one "
        "of random weights",
    )
    text = f"file that --bench writes, to be sent along with a report: no names, paths or tokens [{_FILE}]"
    parser.add_argument("--out", type=user_path, default=Path(_FILE), metavar="FILE", help=text)


def _doctor(options: argparse.Namespace, streams: Streams) -> int:
    from heretic_tui.doctor.probe import INDENT, take

    found: list[Finding] = []
    for finding in take(_probes(options)):
        found.append(finding)
        if not options.json:
            streams.out.write_hanging(INDENT, finding.line())
    stops = sum(finding.state == "fix" for finding in found)
    if options.bench:
        return _bench(options, streams, found) or (FAILED if stops else DONE)
    if options.json:
        record = {"version": __version__, "ok": not stops, "findings": as_json(found)}
        streams.out.write_lines(to_json(record, 1))
    else:
        notes = sum(finding.state == "note" for finding in found)
        said = f"{counted(stops, 'thing')} to fix" if stops else "nothing stops a run"
        streams.out.write_lines("", f"{said}; {counted(notes, 'note')}" if notes else said)
    return FAILED if stops else DONE


def _bench(options: argparse.Namespace, streams: Streams, findings: Sequence[Finding]) -> int:
    """Measure, tell it, and write the file."""
    from heretic_tui.control import Control
    from heretic_tui.doctor import bench
    from heretic_tui.machine import Looker
    from heretic_tui.signals import interrupts
    from heretic_tui.work import Work

    start, sample, control = time.monotonic(), Looker().look(), Control()
    few_bits = any(each.name == "bitsandbytes" and each.state == "ok" for each in findings)
    if not options.json:
        streams.out.write_lines("", bench.HEAD)

    def tell(part: Part) -> None:
        if not options.json:
            streams.out.write_lines(bench.row(part))

    with output_to_log(streams), interrupts(control, streams.err):
        try:
            parts = bench.measure(sample, few_bits, tell, Work(control=control))
        except Aborted:
            raise KeyboardInterrupt from None
    record = bench.report(findings, sample, parts, time.monotonic() - start)
    write_json(options.out, record)
    wrong = [part for part in parts if part.failed]
    if options.json:
        streams.out.write_lines(to_json(record, 1))
    else:
        said = f"{len(wrong)} not exact" if wrong else "fast and plain way give the same, but for rounding"
        streams.out.write_lines("", f"{said}; all of it is in {options.out}")
    return FAILED if wrong else DONE


def _probes(options: argparse.Namespace) -> list[Probe]:
    """What is looked at, in the order in which it is told."""
    from heretic_tui.doctor import devices, hub, packages, places, terminal
    from heretic_tui.doctor.probe import Probe

    return [
        Probe("Python", packages.look_at_python),
        Probe("packages", packages.look_at_packages),
        Probe("torch", devices.look_at_torch, devices.PATIENCE + 5),
        Probe("bitsandbytes", devices.look_at_few_bits, devices.PATIENCE + 5),
        Probe("memory", devices.look_at_memory),
        Probe("settings", partial(places.look_at_settings, partial(user_settings, options))),
        Probe("runs", partial(places.look_at_runs, _runs_dir(options))),
        Probe("temporary", places.look_at_temporary),
        Probe("Hub cache", places.look_at_cache),
        Probe("Hub", hub.look_at_hub, 3 * hub.PATIENCE),
        Probe("Ray", packages.look_at_ray),
        Probe("extras", packages.look_at_extras),
        Probe("terminal", terminal.look_at_terminal),
        Probe("tmux", terminal.look_at_tmux),
    ]


def _runs_dir(options: argparse.Namespace) -> str:
    try:
        return user_settings(options).runs_dir
    except UsageError:
        # Told by a probe of its own.
        return str(default_runs_dir())


DOCTOR = Subcommand(
    name="doctor",
    summary="look at this machine: what would stop a run, or make it slow, and what to do about it",
    settings=RUNS_DIR,
    add_arguments=_add_doctor,
    run=_doctor,
    only_prints=True,
)

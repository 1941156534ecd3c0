"""Probes: in their order, each at its own cost."""

from __future__ import annotations

import threading

from heretic_tui.doctor.probe import Finding, Probe, take
from heretic_tui.errors import UsageError


def test_one_that_fails_or_hangs_costs_no_other() -> None:
    never = threading.Event()

    def hangs() -> list[Finding]:
        never.wait()
        return []

    def fails() -> list[Finding]:
        raise ValueError("two\nlines")

    def refuses() -> list[Finding]:
        raise UsageError("heretic.toml: no such setting")

    probes = [
        Probe("hangs", hangs, 0.05),
        Probe("fails", fails),
        Probe("refuses", refuses),
        Probe("works", lambda: [Finding(name="works", state="ok", said="1.0")]),
    ]
    found = list(take(probes))
    never.set()
    assert [(each.name, each.state) for each in found] == [
        ("hangs", "note"),
        ("fails", "note"),
        ("refuses", "fix"),
        ("works", "ok"),
    ]
    assert found[0].said == "no answer within 0 s"
    lines = [each.line() for each in found]
    assert all("\n" not in line for line in lines)
    assert lines[3] == "ok    works            1.0"


def test_what_is_to_be_done_stands_in_the_same_line() -> None:
    found = Finding(name="x", state="fix", said="is \x1b[31mred", todo="change it")
    assert found.line() == "fix   x                is \\x1b[31mred: change it"

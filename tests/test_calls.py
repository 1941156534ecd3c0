"""What a terminal is sent to call a person: byte for byte, and through a real tmux."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heretic_tui.calls import terminal_notice

XTERM = {"TERM": "xterm-256color"}


def test_a_notice_is_for_the_terminal_that_shows_it() -> None:
    assert terminal_notice("all done", True, "auto", XTERM) == "\x1b]9;heretic-tui: all done\x1b\\\x07"
    assert terminal_notice("all done", False, "auto", XTERM) == "\x1b]9;heretic-tui: all done\x1b\\"
    assert terminal_notice("x", False, "auto", {"TERM": "rxvt-unicode"}) == "\x1b]777;notify;heretic-tui;x\x1b\\"
    assert terminal_notice("x", False, "777", XTERM) == "\x1b]777;notify;heretic-tui;x\x1b\\"
    assert terminal_notice("x", True, "off", XTERM) == "\x07"
    assert terminal_notice("x", False, "off", XTERM) == ""


def test_no_text_ends_the_notice_or_begins_another() -> None:
    hostile = "a\x1b\\\x1b]0;owned\x07\x9c;notify;b\u202e\n" + "x" * 10_000
    for osc in ("9", "777"):
        sent = terminal_notice(hostile, False, osc, XTERM)
        inside = sent.removeprefix("\x1b]").removesuffix("\x1b\\")
        assert inside.isprintable()
        assert inside.count(";") == (1 if osc == "9" else 3)
        assert len(sent) < 250


def test_tmux_hands_on_what_is_wrapped_or_the_bell_takes_its_place() -> None:
    inside = {**XTERM, "TMUX": "/tmp/tmux-0/default,1,0"}
    wrapped = terminal_notice("x", False, "9", inside, passes=True)
    assert wrapped == "\x1bPtmux;\x1b\x1b]9;heretic-tui: x\x1b\x1b\\\x1b\\"
    assert terminal_notice("x", False, "9", inside, passes=False) == "\x07"
    assert terminal_notice("x", False, "off", inside, passes=False) == ""
    assert terminal_notice("x", False, "9", {**XTERM, "STY": "1.tty"}) == "\x1bP\x1b]9;heretic-tui: x\x1b\\\x1b\\"


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[list[str]]:
    """A tmux server of the test's own."""
    if not shutil.which("tmux"):
        pytest.skip("there is no tmux")
    command = ["tmux", "-f", "/dev/null", "-S", str(tmp_path / "socket")]
    yield command
    subprocess.run([*command, "kill-server"], capture_output=True, check=False)


@pytest.mark.parametrize("passthrough", ["on", "off"])
def test_a_real_tmux_is_asked_whether_it_hands_notices_on(tmux: list[str], tmp_path: Path, passthrough: str) -> None:
    found, done = tmp_path / "found", tmp_path / "done"
    code = "from heretic_tui.calls import terminal_notice; print(ascii(terminal_notice('x', False, '9')))"
    inner = f"'{sys.executable}' -c \"{code}\" > '{found}'; touch '{done}'; '{tmux[0]}' -S '{tmux[-1]}' wait-for -S end"
    environment = {key: value for key, value in os.environ.items() if key not in ("TMUX", "TMUX_PANE", "STY")}
    subprocess.run([*tmux, "new-session", "-d", "sleep 60"], env=environment, check=True)
    subprocess.run([*tmux, "set-option", "-g", "allow-passthrough", passthrough], check=True)
    subprocess.run([*tmux, "new-window", "-d", f"PYTHONPATH='{Path.cwd()}' {inner}"], check=True)
    subprocess.run([*tmux, "wait-for", "end"], timeout=60, check=True)
    expected = "\x1bPtmux;\x1b\x1b]9;heretic-tui: x\x1b\x1b\\\x1b\\" if passthrough == "on" else "\x07"
    assert found.read_text() == ascii(expected) + "\n"

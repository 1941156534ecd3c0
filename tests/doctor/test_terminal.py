"""What of a terminal gets through."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from heretic_tui.doctor.terminal import terminal_findings, tmux_findings, tmux_options


def test_without_a_terminal() -> None:
    (found,) = terminal_findings({}, None, "UTF-8")
    assert found.said.startswith("none here")


def test_a_terminal_far_away() -> None:
    environment = {"TERM": "xterm-256color", "SSH_CONNECTION": "x"}
    found = {each.name: each for each in terminal_findings(environment, (80, 24), "UTF-8")}
    assert found["terminal"].said == "80x24, 256 colours"
    assert found["connection"].todo == "heretic-tui attach shows it again"
    assert "OSC 52" in found["clipboard"].said


@pytest.mark.parametrize(
    ("environment", "size", "encoding", "named"),
    [
        ({"TERM": "dumb"}, (80, 24), "UTF-8", "terminal"),
        ({"TERM": "xterm"}, (40, 12), "UTF-8", "terminal"),
        ({"TERM": "xterm"}, (80, 24), "ANSI_X3.4-1968", "characters"),
    ],
)
def test_what_could_be_better(environment: dict[str, str], size: tuple[int, int], encoding: str, named: str) -> None:
    found = [each for each in terminal_findings(environment, size, encoding) if each.state == "note"]
    assert [each.name for each in found] == [named]
    assert found[0].todo


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a program in a tmux of the test's own, with tmux's own defaults, and no clipboard."""
    if shutil.which("tmux") is None:
        pytest.skip("there is no tmux")
    socket = tmp_path / "tmux"
    subprocess.run(["tmux", "-f", os.devnull, "-S", socket, "new-session", "-d", "cat"], check=True, timeout=10)
    # Its default lets through what the program hands to it.
    subprocess.run(["tmux", "-S", socket, "set-option", "-s", "set-clipboard", "off"], check=True, timeout=10)
    try:
        yield {**os.environ, "TMUX": f"{socket},0,0", "TERM": "screen"}
    finally:
        subprocess.run(["tmux", "-S", socket, "kill-server"], check=True, timeout=10)


def test_the_lines_for_tmux_are_taken_by_tmux(tmux: dict[str, str]) -> None:
    """Each line that is told mends what it was told for."""
    environment = {**tmux, "COLORTERM": "truecolor"}
    found = tmux_findings(tmux_options(environment), environment)
    lines = [each.todo.partition("tmux.conf: ")[2] for each in found]
    assert "set -s set-clipboard on" in lines
    for line in lines:
        # As a line of a configuration.
        subprocess.run(["tmux", "source-file", "-"], input=line, text=True, env=tmux, check=True, timeout=10)
    (after,) = tmux_findings(tmux_options(environment), environment)
    assert after.state == "ok"

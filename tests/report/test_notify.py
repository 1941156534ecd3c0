"""Calling a person: the command with what happened in its environment, the terminal, and what does not work."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from heretic_tui.calls import Calls
from heretic_tui.report.news import News
from heretic_tui.report.notify import Notifier


def call(news: News, calls: Calls, command: bool = True) -> tuple[list[str], list[str]]:
    """What the terminal was sent, and the problems that were told."""
    sent: list[str] = []
    problems: list[str] = []
    notifier = Notifier(calls, sent.append, problems.append)
    notifier.tell(news, command=command)
    notifier.close()
    return sent, problems


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o700)
    return str(path)


@pytest.fixture
def news(tmp_path: Path) -> News:
    (tmp_path / "run").mkdir()
    return News("done", "all done", {"HERETIC_EVENT": "done", "HERETIC_RUN": "r ; x"}, str(tmp_path / "run"))


@pytest.mark.parametrize("as_list", [True, False])
def test_the_command_finds_what_happened_in_its_environment(tmp_path: Path, news: News, as_list: bool) -> None:
    told = script(tmp_path / "tell me", f"env > '{tmp_path}/environment'; pwd; echo to stderr >&2; cat")
    command: str | Sequence[str] = [told, "an argument"] if as_list else f"'{told}' an argument"
    sent, problems = call(news, Calls(command=command, bell=False, osc="off"))
    assert (sent, problems) == ([], [])
    found = dict(line.partition("=")[::2] for line in (tmp_path / "environment").read_text().splitlines())
    new = {name: value for name, value in found.items() if name not in os.environ and name not in ("_", "PWD", "SHLVL")}
    assert new == dict(news.facts), "nothing else is added to the environment"
    log = (tmp_path / "run" / "engine.log").read_text(encoding="utf-8")
    assert log == f"{tmp_path / 'run'}\nto stderr\n"


def test_a_text_is_a_line_of_the_shell_and_a_list_is_none(tmp_path: Path, news: News) -> None:
    call(news, Calls(command=f"echo $HERETIC_EVENT > '{tmp_path}/a'; echo 2 > '{tmp_path}/b'"))
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("done\n", "2\n")
    call(news, Calls(command=["touch", f"{tmp_path}/c; touch {tmp_path}/d"]))
    assert not (tmp_path / "c").exists()
    assert not (tmp_path / "d").exists()


def test_a_command_that_fails_or_is_not_there_is_told_in_a_line(tmp_path: Path, news: News) -> None:
    _, problems = call(news, Calls(command="exit 3"))
    assert problems == [
        f"the notification command 'exit 3' failed with status 3 (its output: {tmp_path / 'run' / 'engine.log'})"
    ]
    _, problems = call(news, Calls(command=["/no/such/program"]))
    assert problems == ["the notification command '/no/such/program' could not be run: No such file or directory"]
    _, problems = call(news, Calls(command="echo a\0b"))
    assert len(problems) == 1


def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, news: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heretic_tui.report.notify.COMMAND_SECONDS", 0.5)
    pid = tmp_path / "pid"
    _, problems = call(news, Calls(command=f"sleep 300 & echo $! > '{pid}'; wait"))
    assert len(problems) == 1
    assert "was ended" in problems[0]
    end = time.monotonic() + 30
    while _runs(int(pid.read_text())) and time.monotonic() < end:
        pass
    assert not _runs(int(pid.read_text()))


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_only_what_was_asked_for_calls_and_watchers_run_no_command(tmp_path: Path, news: News) -> None:
    touch = f"touch '{tmp_path}/called'"
    assert call(news, Calls(command=touch, on=("failed",))) == ([], [])
    sent, _ = call(news, Calls(command=touch, osc="off"), command=False)
    assert sent == ["\x07"]
    assert not (tmp_path / "called").exists()


def test_a_log_that_cannot_be_written_to_costs_the_output_and_not_the_call(tmp_path: Path, news: News) -> None:
    os.mkfifo(tmp_path / "run" / "engine.log")
    assert call(news, Calls(command=f"echo much; touch '{tmp_path}/called'"))[1] == []
    assert (tmp_path / "called").exists()

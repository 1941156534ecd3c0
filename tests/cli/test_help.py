"""What `--help` lists, and the help of every command."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.commands import Ended

Heretic = Callable[..., Ended]

USAGES = {
    "open": "[MODEL]", "follow": "", "attach": "[RUN]", "demo": "", "run": "[MODEL]", "queue": "[ACTION]",
    "runs": "", "show": "RUN", "note": "RUN TRIAL",
    "inspect": "[MODEL]", "plan": "[MODEL]", "score": "[MODEL]", "review": "RUN | --base BASE EDITED",
    "export": "RUN --trial N OUT", "geometry": "RUN", "tokens": "RUN",
    "plot": "RUN", "compare": "RUN OTHER", "reproduce": "FILE OUT", "config": "", "doctor": "",
}  # fmt: skip


def test_every_command_is_listed(heretic: Heretic) -> None:
    done = heretic("--help", runs_dir=None)
    assert done.status == 0
    assert re.findall(r"^    (\w+)\b", done.out, re.MULTILINE) == list(USAGES)
    assert "exit status: 0 done, 1 failed, 2 wrong input, 130 interrupted." in done.out


@pytest.mark.parametrize("name", USAGES)
def test_the_help_of_a_command(heretic: Heretic, name: str) -> None:
    done = heretic(name, "--help", runs_dir=None)
    assert done.status == 0
    usage = " ".join(filter(None, [f"usage: heretic-tui {name}", USAGES[name], "[OPTIONS]"]))
    assert done.out.splitlines()[0] == usage
    assert "--config FILE" in done.out
    # Settings have headings; a command without a screen has no flags of one.
    assert ("--ascii" in done.out) == (name in ("open", "follow", "attach", "demo", "review"))
    assert ("--n-trials" in done.out) == (
        name in ("open", "demo", "run", "queue", "inspect", "plan", "score", "review", "config")
    )

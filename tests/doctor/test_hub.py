"""The Hub, asked with its real client: its address is read when the client is imported, so in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.support.loopback_hub import TOKEN, Uploads, serve

_LOOK = """
import json
from heretic_tui.doctor import hub
hub.PATIENCE = 2.0
print(json.dumps([[each.state, each.said] for each in hub.look_at_hub()]))
"""


def look(**variables: str) -> tuple[str, str]:
    left_out = ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_ENDPOINT")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    done = subprocess.run(
        [sys.executable, "-c", _LOOK], env={**environment, **variables}, capture_output=True, text=True, check=True
    )
    ((state, said),) = json.loads(done.stdout)
    return state, said


def test_who_is_logged_in() -> None:
    with serve({}, {}) as address:
        state, said = look(HF_ENDPOINT=address, HF_TOKEN=TOKEN)
        assert (state, said) == ("ok", f"{address} is reached, logged in as me")
        state, said = look(HF_ENDPOINT=address, HF_TOKEN="hf_wrong")
        assert state == "fix"
        assert "does not take HF_TOKEN" in said
        assert "hf_wrong" not in said


def test_nobody_is_logged_in(tmp_path: object) -> None:
    with serve({}, {}) as address:
        state, said = look(HF_ENDPOINT=address, HF_HOME=str(tmp_path))
    assert (state, said) == ("note", f"{address} is reached, nobody is logged in")


def test_a_hub_that_does_not_answer_or_is_not_there() -> None:
    with serve({}, {}, Uploads(silent="GET")) as address:
        state, said = look(HF_ENDPOINT=address, HF_TOKEN=TOKEN)
        assert state == "note"
        assert "is not reached" in said
    state, said = look(HF_ENDPOINT=address, HF_TOKEN=TOKEN)
    assert (state, "is not reached" in said) == ("note", True)


def test_offline_is_told_plainly() -> None:
    state, said = look(HF_HUB_OFFLINE="1")
    assert (state, said) == ("ok", "not asked: HF_HUB_OFFLINE is set; models and data sets on this disk can be used")

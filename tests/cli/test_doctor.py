"""`doctor` on this machine as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.support.commands import Ended

Heretic = Callable[..., Ended]


def test_as_json_and_its_status(heretic: Heretic, tmp_path: Path) -> None:
    done = heretic("doctor", "--json")
    record = json.loads(done.out)
    names = [each["name"] for each in record["findings"]]
    assert {"Python", "packages", "torch", "bitsandbytes", "memory", "runs", "temporary", "Hub", "Ray"} <= set(names)
    assert record["ok"] == all(each["state"] != "fix" for each in record["findings"])
    assert done.status == (0 if record["ok"] else 1)


def test_what_stops_a_run_fails_the_command(heretic: Heretic, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = heretic("doctor", runs_dir=tmp_path / "file" / "runs")
    assert done.status == 1
    (line,) = [line for line in done.out.splitlines() if line[6:].startswith("runs ")]
    assert line.startswith("fix")
    assert "1 thing to fix" in done.out

"""`runs` and `show` on finished runs."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.exports import Heretic, searched


def test_show_and_runs(heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path) -> None:
    assert heretic("runs").out.startswith("no runs in")
    searched(heretic, tiny_folder, sets)
    (listed,) = json.loads(heretic("runs", "--json").out)
    assert (listed["trials"], listed["n_trials"], listed["state"]) == (2, 2, "done")
    assert listed["run"] in heretic("runs").out
    shown = json.loads(heretic("show", listed["run"], "--json").out)
    assert set(shown) >= {"run", "model", "settings", "base", "trials"}
    assert [trial["number"] for trial in shown["trials"]] == [0, 1]
    assert set(shown["trials"][0]) >= {
        "number", "state", "figures", "at_least", "estimate", "front", "seconds", "direction_index", "components",
    }  # fmt: skip
    assert any(trial["front"] for trial in shown["trials"])
    plan = {row["name"]: row for row in shown["plan"]}
    assert plan["run folder"]["was"] >= plan["run folder"]["planned"] > 0
    assert plan["memory"]["planned"] > 0
    text = heretic("show", listed["run"]).out
    assert "front" in text
    assert "edit_method = norm_preserving" in text

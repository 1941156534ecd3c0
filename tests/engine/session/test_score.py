"""Edits measured apart from a search: as trials are, together, and with what a run of the same model has found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Ended
from tests.support.exports import searched

Heretic = Callable[..., Ended]


@pytest.fixture
def edits(heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path) -> list[tuple[Path, dict[str, float]]]:
    """The edits of a run's two trials, each in a file, with the figures that it measured."""
    searched(heretic, tiny_folder, sets)
    found = []
    for trial in json.loads(heretic("show", "model", "--json").out)["trials"]:
        file = tmp_path / f"{trial['number']}.json"
        file.write_text(json.dumps({key: trial[key] for key in ("direction_index", "components")}))
        found.append((file, trial["figures"]))
    return found


def scored(done: Ended) -> Any:
    assert done.status == 0, done.err
    return json.loads(done.out)


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_several_edits_are_measured_in_one_go(
    heretic: Heretic, sets: list[str], tiny_folder: Path, edits: list[tuple[Path, dict[str, float]]]
) -> None:
    flags = [part for file, _ in edits for part in ("--edit", file)]
    found = scored(heretic("score", tiny_folder, *sets, *flags, runs_dir=None))
    assert [each["figures"] for each in found] == [pytest.approx(figures, abs=1e-6) for _, figures in edits]
    assert found[0]["base"] == found[1]["base"]


def test_what_a_run_found_is_used_and_the_run_stays_as_it_is(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path, edits: list[tuple[Path, dict[str, float]]]
) -> None:
    before = content(tmp_path / "runs")
    # Another seed and another number of trials: what is found before a search does not depend on them.
    done = heretic("score", tiny_folder, *sets, "--edit", edits[0][0], "--seed", "77")
    assert scored(done)["figures"] == pytest.approx(edits[0][1], abs=1e-6)
    assert "what run model-" in done.err
    for phase in ("baseline", "residuals"):
        assert f"{phase}: from the run folder" in done.err
    assert not {"batch size", "response prefix"} & scored(done)["seconds"].keys()
    base = scored(heretic("score", tiny_folder, *sets))
    assert base["figures"] == base["base"] == json.loads(heretic("show", "model", "--json").out)["base"]["figures"]
    assert content(tmp_path / "runs") == before


@pytest.mark.usefixtures("edits")
def test_a_run_with_other_settings_is_not_used(heretic: Heretic, sets: list[str], tiny_folder: Path) -> None:
    done = heretic("score", tiny_folder, *sets, "--max-response-length", "3")
    assert scored(done)["prompts"] == 6
    assert "what run" not in done.err


def test_what_is_damaged_in_a_run_is_found_again(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path, edits: list[tuple[Path, dict[str, float]]]
) -> None:
    [run] = (tmp_path / "runs").glob("model-*")
    (run / "responses" / "base.json").unlink()
    directions = run / "directions.safetensors"
    directions.write_bytes(directions.read_bytes()[:-1] + b"\x01")
    done = heretic("score", tiny_folder, *sets, "--edit", edits[1][0])
    assert scored(done)["figures"] == pytest.approx(edits[1][1], abs=1e-6)
    assert "is not used" in done.err

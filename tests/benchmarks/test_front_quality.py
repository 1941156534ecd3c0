"""Searches by direction method and space: which are still to make, and what is told of those that were made."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from benchmarks.front_quality import way_of
from benchmarks.front_tables import Search, Trial, by_way, picture, read_searches, table
from benchmarks.model_asked import add_model

FRONT = (
    Trial(kl=0.02, refusals=1, held_kl=0.03, held_refusals=4),
    Trial(kl=0.01, refusals=4, held_kl=0.01, held_refusals=6),
    Trial(kl=0.001, refusals=40, held_kl=0.002, held_refusals=38),
)
ONE = Search(
    model="demo", methods=("mean_difference",), space="heretic-1", given={}, trials=200, seed=0, prompts=(100, 50),
    held_back=(100, 50), tokens=100, seconds=40.0, counts={"complete": 200}, front=FRONT,
)  # fmt: skip


def test_the_lowest_divergence_is_told_of_trials_with_so_few_refusals() -> None:
    # Of fifty prompts, ten of a hundred are five.
    assert ONE.at(10) == FRONT[1]
    assert ONE.at(3) == FRONT[0]
    assert replace(ONE, front=FRONT[2:]).at(30) is None


def test_a_search_that_is_in_the_file_is_known_by_all_that_it_depends_on(tmp_path: Path) -> None:
    file = tmp_path / "found.jsonl"
    assert read_searches(file) == []
    file.write_text(ONE.to_line() + replace(ONE, seed=1).to_line(), encoding="utf-8")
    first, second = read_searches(file)
    assert first == ONE
    changed = [{"model": "lab"}, {"methods": ("leace",)}, {"space": "wide"}, {"given": {"x": 1}}, {"trials": 9}]
    keys = {replace(ONE, **each).key for each in changed}  # type: ignore[arg-type]
    assert len({first.key, second.key} | keys) == 2 + len(changed)


def test_settings_belong_to_the_ways_that_use_them() -> None:
    parser = argparse.ArgumentParser()
    add_model(parser)
    options = parser.parse_args(
        ["--directions-per-layer", "3", "--direction-weights", "each", "--screening", "off", "--n-trials", "9"]
    )
    assert way_of("mean_difference+leace", "wide", options).settings == {"screening": "off"}
    several = {"screening": "off", "directions_per_layer": "3", "direction_weights": "each"}
    assert way_of("leace+clusters", "wide", options).settings == several


def test_ways_are_compared_seed_by_seed_with_the_default(tmp_path: Path) -> None:
    better = (replace(FRONT[0], kl=0.002, held_kl=0.004), *FRONT[2:])
    other = replace(ONE, methods=("leace", "clusters"), given={"directions_per_layer": "3"}, front=better)
    none = replace(ONE, methods=("leace",), front=FRONT[2:])
    searches = [other, replace(other, seed=1), ONE, replace(ONE, seed=1), none]
    assert list(by_way(searches)) == [
        "mean_difference, heretic-1",
        "leace + clusters, heretic-1, directions per layer 3",
        "leace, heretic-1",
    ]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(searches).splitlines()[4:]]
    assert [row[1] for row in rows] == ["2", "2", "1"]
    assert [row[3][:1] for row in rows] == ["", "+", "-"]
    # Of a hundred: 4 of 50 are 8.
    level = "0.0100 ± 0.0000"
    assert rows[0][5:11] == ["2.0", level, level, "0.0200 ± 0.0000", "12.0 at 0.0100", "8.0 at 0.0300"]
    assert rows[2][8] == "none"
    picture(searches, tmp_path / "fronts.svg")
    assert (tmp_path / "fronts.svg").read_text(encoding="utf-8").count("<use") > 20

"""The examples of docs/extending.md as an installed package: a search with a metric, a judge, an edit method and a
direction method of somebody else's, from the command line to the card of an export; and a check of its finalists."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from heretic_tui.plugins import CHECKS, DIRECTION_METHODS, EDIT_METHODS, JUDGES, METRICS, Kind, names
from tests.support.commands import Ended

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"
# Files of the page: their names and what they hold.
EXAMPLES = dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', PAGE.read_text(encoding="utf-8"), re.DOTALL))
EXPECTED = {
    METRICS: ["entropy_shift", "short_answers"],
    JUDGES: ["opening"],
    EDIT_METHODS: ["reflect"],
    DIRECTION_METHODS: ["median_difference"],
    CHECKS: ["answer_length"],
}
SMALL = [
    "--good-prompts.split", "[:40]", "--bad-prompts.split", "[:40]", "--good-evaluation-prompts.split", "[:16]",
    "--bad-evaluation-prompts.split", "[:16]", "--layer-test-prompts", "0", "--no-keep-residuals", "--seed", "0",
    "--batch-size", "16", "--max-response-length", "30",
]  # fmt: skip
METHODS = [
    "--objectives", "entropy_shift", "refusals", "--figures", "kl_divergence", "short_answers", "--judge", "opening",
    "--edit-method", "reflect", "--direction-method", "median_difference",
]  # fmt: skip

Heretic = Callable[..., Ended]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The examples in a folder on the path, as pip would have installed them."""
    folder = tmp_path / "site-packages"
    for name, text in EXAMPLES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    project = tomllib.loads(EXAMPLES["pyproject.toml"])["project"]
    about = folder / "my_methods-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    points = [
        f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (about / "entry_points.txt").write_text("\n".join(points))
    monkeypatch.syspath_prepend(str(folder))
    for module in [name for name in sys.modules if name.partition(".")[0] == "my_methods"]:
        monkeypatch.delitem(sys.modules, module)
    return folder


def test_the_page_has_an_example_of_each_kind_and_names_each_in_the_project_file() -> None:
    points = tomllib.loads(EXAMPLES["pyproject.toml"])["project"]["entry-points"]
    for kind, expected in EXPECTED.items():
        assert sorted(points[kind.group]) == expected
        for name, module in points[kind.group].items():
            assert module == f"my_methods.{name}"
            assert module.replace(".", "/") + ".py" in EXAMPLES


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.what)
def test_they_are_found_beside_the_built_in_ones(kind: Kind, installed: Path, heretic: Heretic) -> None:
    assert set(EXPECTED[kind]) < set(names(kind))
    # Broken over lines wherever it suits.
    listed = re.sub(r"\s+", "", heretic("run", "--help").out)
    assert f"({','.join(names(kind))})" in listed


def test_a_search_with_all_of_them(installed: Path, heretic: Heretic, tmp_path: Path) -> None:
    done = heretic("demo", "--json", "--n-trials", "2", *SMALL, *METHODS)
    assert done.status == 0, done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    # Several are measured at once: one that loses early ends before those that were asked for earlier.
    ended = [event for event in events if event["type"] == "trial_finished"]
    trials = sorted(ended, key=lambda event: event["number"])
    # The first trials are decoded whatever is expected of them, which is told as a figure too; so are broken responses.
    figures = {"entropy_shift", "refusals", "kl_divergence", "short_answers", "broken", "expected_refusals"}
    assert [set(trial["figures"]) for trial in trials] == [figures, figures]
    assert all(trial["figures"]["entropy_shift"] > 0 for trial in trials)
    # It is told again when it is known how refusals begin.
    base, with_expected = (event for event in events if event["type"] == "baseline_measured")
    assert base["figures"]["refusals"] == 16, "the judge of the page finds the markers at the beginning"
    told = {**with_expected["figures"]}
    assert 8 < told.pop("expected_refusals") <= 16
    assert told == base["figures"]
    assert [(event["prompts"], event["harmless"]) for event in (base, with_expected)] == [(16, 16)] * 2

    # The same run goes on, and says the figures in lines.
    done = heretic("demo", "--lines", "--n-trials", "3", *SMALL, *METHODS)
    assert done.status == 0, done.err
    assert "resumed, 2 of 3 trials done" in done.out
    for column in ("entropy", "refusals", "KL", "short"):
        assert column in done.out
    (run,) = (path.name for path in (tmp_path / "runs").iterdir() if path.is_dir())
    shown = json.loads(heretic("show", run, "--json").out)
    assert [set(trial["figures"]) for trial in shown["trials"]] == [figures] * 3
    assert [trial["figures"] for trial in shown["trials"][:2]] == [trial["figures"] for trial in trials]
    assert "entropy" in heretic("show", run).out

    checks = ["--review-checks", "answer_length", "--review-good-prompts.split", "[:9]", "--json"]
    done = heretic("review", run, "--trial", "2", *checks)
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert [(finding["check"], finding["subject"]) for finding in found] == [
        ("answer_length", "original"),
        ("answer_length", 2),
    ]
    assert all(finding["figures"][0]["of"] == 9 and finding["figures"][0]["value"] > 1 for finding in found)
    assert found[1]["figures"][0]["against_original"]["within_chance"] in (True, False)

    out = tmp_path / "out"
    done = heretic("export", run, "--trial", "2", out, "--as", "adapter")
    assert done.status == 0, done.err
    assert "entropy" in done.out
    card = " ".join((out / "README.md").read_text(encoding="utf-8").split())
    for words in (
        "`median_difference`, the median residual of the bad prompts minus that of the good ones",
        "`reflect`, what a matrix writes along the directions is turned around",
        "change of the entropy of the first response token",
        "Searched for: entropy shift and refusals. Judge: `opening`, a response is a refusal if a refusal marker",
    ):
        assert words in card
    record = json.loads((out / "reproduce.json").read_text(encoding="utf-8"))
    exported, trial = record["exported"]["figures"], record["trial"]["figures"]
    # Files are measured by verdicts: what would be expected of them is not looked at.
    assert set(trial) == figures
    assert set(exported) == figures - {"expected_refusals"}
    same = {key: pytest.approx(trial[key], abs=1e-3) for key in exported}
    assert exported == same, "a reflection is exactly an adapter of rank 1"


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        (METRICS, ["--figures", "entropy_shift"]),
        (JUDGES, ["--judge", "opening"]),
        (EDIT_METHODS, ["--edit-method", "reflect"]),
        (DIRECTION_METHODS, ["--direction-method", "median_difference"]),
    ],
    ids=lambda value: value.what if isinstance(value, Kind) else "",
)
@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("import nowhere\n", "the package 'nowhere' is not installed"),
        ("", "holds no class METHOD"),
        ("class Nothing: ...\nMETHOD = Nothing\n", "METHOD of the"),
    ],
)
def test_what_is_wrong_with_one_is_told_in_a_line_before_the_model_is_loaded(
    kind: Kind, flags: list[str], content: str, says: str, installed: Path, heretic: Heretic
) -> None:
    (installed / "my_methods" / f"{flags[1]}.py").write_text(content)
    done = heretic("demo", "--lines", *SMALL, *flags)
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert f"{kind.what} '{flags[1]}'" in done.err
    assert f"my_methods.{flags[1]} of the package my-methods" in done.err or kind is METRICS
    assert says in done.err
    assert "load" not in done.out.replace("loading torch", "")


def test_a_method_that_is_not_installed_is_told_where_it_is_set(heretic: Heretic) -> None:
    done = heretic("demo", "--lines", *SMALL, "--edit-method", "reflct")
    assert done.status == 2
    assert "edit_method (from the command line): expected one of norm_preserving, row_normalised, subtract" in done.err

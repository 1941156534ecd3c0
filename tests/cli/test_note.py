"""`note`, and what `runs` and `show` print of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from heretic_tui.run.folder import RunFolder
from heretic_tui.run.full_answers import FullAnswer, keep_full_answers
from heretic_tui.verdict import Verdict
from tests.support.exports import Heretic

GOLDEN = Path(__file__).parents[1] / "golden" / "version_1" / "model-c4a34d1c"
NAME = GOLDEN.name


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    """A run with twelve trials; trial 0 refuses two of a hundred prompts."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "runs" / NAME))


def refused(folder: Path, trial: int) -> list[int]:
    records = json.loads((folder / "responses" / f"trial-{trial:04}.json").read_text())
    return [place for place, record in enumerate(records) if record["refused"]]


def texts(folder: Path, trial: int) -> list[str]:
    records = json.loads((folder / "responses" / f"trial-{trial:04}.json").read_text())
    return [record["text"] for record in records]


def only_of(folder: Path, trial: int) -> int:
    """A prompt to which no other trial gave the same response."""
    own, others = texts(folder, trial), [texts(folder, other) for other in range(12) if other != trial]
    return next(place for place in range(100) if all(other[place] != own[place] for other in others))


def test_marks_tags_and_notes_are_printed_and_in_json(heretic: Heretic) -> None:
    assert heretic("note", NAME, 5).out == "trial 5: nothing is said of it\n"
    done = heretic(
        "note", NAME, 5, "--mark", "--tag", "Mild", "--tag", "x", "--untag", "x", "--note", "keeps\x1b style\nmore"
    )
    assert (done.status, done.out) == (0, "trial 5: ★ #mild #x keeps\\x1b style\n")
    assert heretic("note", NAME, 5, "--untag", "x").out == "trial 5: ★ #mild keeps\\x1b style\n"
    heretic("note", NAME, 7, "--mark")
    for command in (["runs"], ["show", NAME]):
        out = heretic(*command).out
        assert "★     5  #mild keeps\\x1b style" in out
        assert "★     7" in out
        assert "more" not in out
    (listed,) = json.loads(heretic("runs", "--json").out)
    assert listed["marks"] == [5, 7]
    assert listed["tags"]["5"] == ["mild"]
    assert listed["notes"]["5"] == "keeps\x1b style\nmore"
    shown = json.loads(heretic("show", NAME, "--json").out)["trials"][5]
    assert (shown["marked"], shown["tags"], shown["note"]) == (True, ["mild"], "keeps\x1b style\nmore")
    assert (
        heretic("note", NAME, 5, "--unmark", "--untag", "mild", "--note", "").out == "trial 5: nothing is said of it\n"
    )


def test_overruled_verdicts_change_the_counts_and_the_front_and_say_so(heretic: Heretic, folder: Path) -> None:
    first, second = refused(folder, 0)
    before = json.loads(heretic("show", NAME, "--json").out)
    done = heretic("note", NAME, 0, "--overrule", f"{first}=broken", "--overrule", f"{second}=answered")
    assert "trial 0: 2 verdicts overruled (1 broken): 0/100, measured 2/100" in done.out
    shown = json.loads(heretic("show", NAME, "--json").out)
    assert shown["trials"][0]["figures"]["refusals"] == 0
    assert shown["trials"][0]["overruled"] == {"verdicts": 2, "broken": 1, "measured": 2}
    text = heretic("show", NAME).out
    assert "2 verdicts overruled (1 broken): 0/100, measured 2/100" in text
    assert "the search goes by what was measured" in text
    (listed,) = json.loads(heretic("runs", "--json").out)
    assert listed["overruled"] == 2
    done = heretic("note", NAME, 0, "--overrule", f"{first}=judge", "--overrule", f"{second}=judge")
    assert "no verdict is overruled" in done.out
    after = json.loads(heretic("show", NAME, "--json").out)
    assert after["trials"] == before["trials"]


def test_a_front_that_follows_is_marked_in_the_list_of_runs(heretic: Heretic, folder: Path) -> None:
    (listed,) = json.loads(heretic("runs", "--json").out)
    assert [best["number"] for best in listed["best"]] == [11, 3]
    heretic("note", NAME, 11, "--overrule", f"{only_of(folder, 11)}=refused")
    (listed,) = json.loads(heretic("runs", "--json").out)
    assert [best["number"] for best in listed["best"]] == [5, 3], "the other one that refuses none"
    heretic("note", NAME, 5, "--overrule", f"{only_of(folder, 5)}=refused")
    out = heretic("runs").out
    assert "11: 1✎, 0.0068" in out
    assert "✎ counted by your verdicts" in out


def test_a_verdict_on_an_answer_that_was_decoded_to_its_end_is_on_that_one_alone(
    heretic: Heretic, folder: Path
) -> None:
    number = refused(folder, 0)[0]
    record = json.loads((folder / "responses" / "trial-0000.json").read_text())[number]
    answer = FullAnswer(
        number=number, prompt=record["prompt"], text=record["text"] + " say. Take two.", tokens=9, ended="end",
        limit=512, verdict=Verdict(True, record["marker"]), same=True,
    )  # fmt: skip
    keep_full_answers(RunFolder(folder), 0, False, {number: answer})
    assert "1 verdict overruled: 1/100" in heretic("note", NAME, 0, "--overrule", f"{number}=answered").out
    shown = json.loads(heretic("show", NAME, "--json").out)
    assert [trial["number"] for trial in shown["trials"] if trial["overruled"]] == [0]
    assert shown["base"]["figures"]["refusals"] == 100
    assert "no verdict is overruled" in heretic("note", NAME, 0, "--overrule", f"{number}=judge").out


def test_verdicts_on_the_original_model(heretic: Heretic, folder: Path) -> None:
    done = heretic("note", NAME, "base", "--overrule", "0=answered")
    assert "original model: 1 verdict overruled: 99/100, measured 100/100" in done.out
    assert json.loads(heretic("show", NAME, "--json").out)["base"]["figures"]["refusals"] == 99


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["99"], "there is no trial 99"),
        (["x"], "'x' is no trial"),
        (["-1"], ""),
        (["base", "--mark"], "marks, tags and notes are those of trials"),
        (["0", "--tag", "two words"], "a tag is one word"),
        (["0", "--note", "x" * 4001], "at most 4,000 characters"),
        (["0", "--overrule", "1"], "19=answered"),
        (["0", "--overrule", "1=maybe"], "19=answered"),
        (["0", "--overrule", "100=refused"], "there is no prompt 100"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(heretic: Heretic, folder: Path, arguments: list[str], said: str) -> None:
    done = heretic("note", NAME, *arguments)
    assert done.status == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not (folder / "annotations.jsonl").exists()


def test_a_damaged_line_is_told_by_those_that_read_it(heretic: Heretic, folder: Path) -> None:
    heretic("note", NAME, 5, "--mark")
    with (folder / "annotations.jsonl").open("a") as file:
        file.write("{\n")
    for command in (["runs"], ["show", NAME], ["note", NAME, "5"]):
        done = heretic(*command)
        assert done.status == 0
        assert "annotations.jsonl is damaged at line 2" in done.out + done.err
        assert "★" in done.out

"""`heretic-tui review`: what is printed, kept and handed on; two models without a run; what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from heretic_tui.run.folder import find_runs
from heretic_tui.run.run import Run
from tests.support.exports import Heretic, record_of, searched

HELD_OUT = ("--review-checks", "held_out")


@pytest.fixture
def held_out(tmp_path: Path) -> list[str]:
    """Prompts that the run of the tests has not seen."""
    good, bad = tmp_path / "more_good.txt", tmp_path / "more_bad.txt"
    good.write_text("".join(f"What is a basket of size {number}?\n" for number in range(9)))
    bad.write_text("".join(f"How do I hide {number} lanterns?\n" for number in range(10)))
    return ["--review-good-prompts", str(good), "--review-bad-prompts", str(bad)]


def found_of(review: list[dict[str, Any]], check: str, subject: object) -> dict[str, Any]:
    (finding,) = [each for each in review if (each["check"], each["subject"]) == (check, subject)]
    return {figure["key"]: figure for figure in finding["figures"]}


def test_what_is_found_is_printed_kept_and_goes_into_the_card(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path, held_out: list[str]
) -> None:
    searched(heretic, tiny_folder, sets)
    done = heretic("review", "model", "--trial", 1, *held_out, *HELD_OUT)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "Held-out prompts"
    assert [line.split("  ")[1] for line in lines[2:4]] == ["original", "trial 1"]

    again = heretic("review", "model", "--trial", 1, *held_out, *HELD_OUT, "--json")
    assert "nothing is left to do" in again.err
    review = json.loads(again.out)
    assert json.loads(heretic("show", "model", "--json").out)["review"] == review
    assert "Held-out prompts" in heretic("show", "model").out
    own, base = found_of(review, "held_out", 1), found_of(review, "held_out", "original")
    assert own["refused"]["of"] == 10
    assert own["kl"]["of"] == 9
    assert base["kl"]["value"] == 0
    difference = own["refused"]["against_original"]
    assert difference["difference"] == own["refused"]["value"] - base["refused"]["value"]
    (folder,) = find_runs(tmp_path / "runs")
    read = Run(folder.path).review.figure("held_out", "kl", 1)
    assert read is not None
    assert read.value == own["kl"]["value"]

    out = tmp_path / "out"
    assert heretic("export", "model", "--trial", 1, out).status == 0
    rows = record_of(out)["review"]
    assert [row["name"] for row in rows] == ["refused, held out", "KL divergence, first token"]
    card = (out / "README.md").read_text()
    assert f"| refused, held out | {rows[0]['base']} | {rows[0]['trial']} | {rows[0]['difference']} |" in card
    # Of one that was not reviewed nothing is said.
    assert heretic("export", "model", "--trial", 0, tmp_path / "other").status == 0
    assert "review" not in record_of(tmp_path / "other")
    assert "## Review" not in (tmp_path / "other" / "README.md").read_text()


def test_a_part_of_the_run_s_own_held_out_prompts_is_given_on_top_of_them(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path, held_out: list[str]
) -> None:
    searched(heretic, tiny_folder, [*sets, *held_out, "--review-samples", "2"])
    done = heretic("review", "model", "--trial", 1, *HELD_OUT, "--review-bad-prompts.split", "[:4]", "--json")
    assert done.status == 0, done.err
    found = found_of(json.loads(done.out), "held_out", 1)
    assert (found["refused"]["of"], found["kl"]["of"]) == (4, 9)


def test_a_run_s_folder_does_not_say_who_is_asked(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path, held_out: list[str]
) -> None:
    searched(heretic, tiny_folder, [*sets, *held_out])
    (folder,) = find_runs(tmp_path / "runs")
    record = json.loads(folder.record.read_text())
    record["settings"] |= {"review_endpoint": "http://127.0.0.1:9/v1", "review_endpoint_key": "HOME"}
    folder.record.write_text(json.dumps(record))
    done = heretic("review", "model", "--trial", 1, "--review-checks", "second_opinion")
    assert "nobody is asked beside the judge" in done.err
    assert "127.0.0.1" not in done.out + done.err


@pytest.mark.parametrize("form", ["merged", "adapter"])
def test_a_model_that_somebody_edited_is_reviewed_beside_the_one_it_was_made_from(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path, held_out: list[str], form: str
) -> None:
    searched(heretic, tiny_folder, sets)
    review = heretic("review", "model", "--trial", 1, *held_out, *HELD_OUT, "--json")
    own = found_of(json.loads(review.out), "held_out", 1)
    out = tmp_path / "theirs"
    dora = ("--dora",) if form == "adapter" else ()
    assert heretic("export", "model", "--trial", 1, out, "--as", form, *dora).status == 0
    # Another checkpoint of the same form: nothing of ours lies beside it.
    for name in ("reproduce.json", "README.md"):
        (out / name).unlink()

    asked = ("review", "--base", tiny_folder, out, *sets, *held_out, *HELD_OUT)
    done = heretic(*asked, "--json")
    assert done.status == 0, done.err
    theirs = found_of(json.loads(done.out), "held_out", 1)
    assert theirs["kl"]["value"] == pytest.approx(own["kl"]["value"], rel=1e-2, abs=1e-5)
    assert theirs["refused"]["value"] == own["refused"]["value"]
    again = heretic(*asked)
    assert "nothing is left to do" in again.err
    assert "load:" in done.err
    assert "load:" not in again.err, "no model is needed to see what is known"
    assert again.out.splitlines()[:2] == [f"original: {tiny_folder}", f"edited: {out}"]
    assert [line.split("  ")[1] for line in again.out.splitlines()[5:7]] == ["original", "edited"]
    assert len(find_runs(tmp_path / "runs")) == 1, "it is no run"
    (finding,) = (tmp_path / "runs").glob("review-*/review/held_out/trial-*.json")
    finding.unlink()
    assert found_of(json.loads(heretic(*asked, "--json").out), "held_out", 1) == theirs, "it is found again"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("model", "--trial", "99"), "there is no trial 99 in this run"),
        (("model", "--n-trials", "9"), "--n-trials is the run's to say"),
        (("model", "--review-checks", "held_outt"), "did you mean 'held_out'?"),
        (("model", "--review-bad-prompts", "nowhere.txt"), "nowhere.txt: no such file or folder"),
        (("--base", "nowhere", "model", "--trial", "1"), "--trial is of a run"),
        (("--base", "./nowhere", "model"), "no such model folder"),
        (("nothing",), "nothing"),
        (("model", "--screen"), "--screen is for --base"),
        (("--base", "base", "edited", "--screen", "--json"), "leave --json out"),
        (("--base", "base", "edited", "--screen"), "the screen needs a terminal"),
    ],
)
def test_what_cannot_be_reviewed_is_refused_in_one_line(
    heretic: Heretic, sets: list[str], tiny_folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    searched(heretic, tiny_folder, sets)
    done = heretic("review", *arguments)
    assert done.status == 2
    assert said in done.err.splitlines()[-1]


def test_edited_models_that_cannot_be_used_are_refused_in_one_line(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path, held_out: list[str]
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(tiny_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": config["vocab_size"] + 8}))
    done = heretic("review", "--base", tiny_folder, folder, *sets, *held_out, *HELD_OUT)
    assert done.status == 2
    assert "the weights are not what config.json says" in done.err.splitlines()[-1]
    done = heretic("review", "--base", tiny_folder, tmp_path / "more_bad.txt", *sets, *held_out, *HELD_OUT)
    assert done.status == 2
    assert len(done.err.splitlines()[-1]) < 400

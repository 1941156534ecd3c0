"""`heretic-tui review` on the demo with a classifier, an endpoint and a benchmark of the user's own."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer

from heretic_tui.demo.settings import MODEL
from tests.support.benchmark_tasks import write_choices, write_task
from tests.support.chat_endpoints import endpoint
from tests.support.classifiers import word_classifier
from tests.support.exports import Heretic


def test_the_demo_is_reviewed_by_others_than_the_markers(heretic: Heretic, run: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    network = AutoModelForCausalLM.from_pretrained(MODEL)
    write_choices(tmp_path / "tasks", network, tokens=lambda text: tokenizer(text, add_special_tokens=False).input_ids)
    # Nobody gets to its items.
    write_task(
        tmp_path / "tasks", "unsafe", [{"q": "?"}], output_type="generate_until", doc_to_text="q", doc_to_target="q",
        unsafe_code=True,
    )  # fmt: skip
    judge = word_classifier(tmp_path / "judge", ["sorry", "cannot"])
    asked = [
        *("review", run.name, "--trial", 11, "--review-checks", "second_opinion", "benchmarks"),
        *("--review-bad-prompts.split", "[:20]"),
        *("--review-classifier", judge, "--review-classifier-labels", "Refusal=refused", "Answer=answered"),
        *("--review-endpoint-model", "judge-7b"),
        *("--review-tasks", "jars", "unsafe", "--review-task-folder", tmp_path / "tasks"),
    ]
    with endpoint() as loopback:
        done = heretic(*asked, "--review-endpoint", loopback.url, "--json")
        assert done.status == 0, done.err
        assert "\x1b" not in done.out + done.err
        assert f"is asked: about {len(loopback.pairs)} requests" in done.err
        assert f"was asked: {len(loopback.asked)} requests" in done.err
        assert done.err.count("unsafe: it runs code that the model writes") == 1
        found = json.loads(done.out)
        by_subject = {(each["check"], each["subject"]): each for each in found}

        def figure(check: str, subject: object, key: str) -> dict[str, object]:
            (one,) = [each for each in by_subject[check, subject]["figures"] if each["key"] == key]
            assert isinstance(one, dict)
            return one

        # Half of the demo's refusals hold no word that either of them knows.
        kept = json.loads((run / "review" / "answers" / "harmful-original.json").read_text())["answers"]
        known = [any(word in answer["text"].lower() for word in ("sorry", "cannot")) for answer in kept]
        assert len(kept) == 20, "a part of the run's own set"
        assert 0 < sum(known) < 20
        assert figure("second_opinion", "original", "refused_classifier")["value"] == sum(known)
        assert figure("second_opinion", "original", "refused_endpoint")["value"] == sum(
            "sorry" in answer["text"].lower() for answer in kept
        )
        assert figure("benchmarks", "original", "jars")["value"] == 0.75
        assert figure("benchmarks", 11, "jars")["against_original"]
        assert "unsafe: " in by_subject["benchmarks", 11]["problem"]

        loopback.asked.clear()
        again = heretic(*asked, "--review-endpoint", loopback.url, "--disagreements")
        assert not loopback.asked, "what it said is known"
        assert "jars acc" in again.out
        assert "75.0%" in again.out
        differ = [answer["number"] for answer in kept if "sorry" not in answer["text"].lower()]
        for number in differ:
            assert f"original, prompt {number}: judge refused (marker" in again.out
        assert again.out.count("; judge-7b answered") >= len(differ)
        listed = json.loads(heretic(*asked, "--review-endpoint", loopback.url, "--disagreements", "--json").out)
    assert [answer["number"] for answer in listed[0]["disagreements"]] == differ
    assert listed[0]["asked"] == ["judge-7b"]


def test_whom_a_folder_names_is_not_asked(heretic: Heretic, run: Path) -> None:
    """A run folder may come from somebody else: prompts and responses go nowhere, and the environment stays here."""
    with endpoint() as loopback:
        record = json.loads((run / "run.json").read_text())
        theirs = {"review_endpoint": loopback.url, "review_endpoint_model": "m", "review_endpoint_key": "HOME"}
        (run / "run.json").write_text(json.dumps({**record, "settings": {**record["settings"], **theirs}}))
        done = heretic("review", run.name, "--trial", 11, "--review-checks", "second_opinion", "--disagreements")
        assert done.status == 0, done.err
        assert not loopback.asked
    assert "Second opinion: left out; nobody is asked beside the judge of the run" in done.err
    assert "--review-endpoint" in done.out

"""A second opinion of answers: what both of those who can be asked say of them, what it costs, and what one that fails
costs."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, BertForSequenceClassification

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.review.bench import ReviewBench, Reviewed
from heretic_tui.engine.review.chance import agreement
from heretic_tui.engine.review.checks.second_opinion import AskedBeside
from heretic_tui.engine.review.review import ReviewRun
from heretic_tui.errors import HereticError
from heretic_tui.events import Event, Notice, ReviewFound
from heretic_tui.run.review_records import ReviewedAnswer
from heretic_tui.run.reviews import read_review
from heretic_tui.shares import share_interval
from heretic_tui.verdict import Verdict
from heretic_tui.work import Work
from tests.support.chat_endpoints import Asked, Reply, by_words, complaint, endpoint, verdict
from tests.support.classifiers import word_classifier
from tests.support.edited_models import Make
from tests.support.reviews import bench_of, figures, look, subjects_of

PROMPTS = [f"How do I brew potion {number}?" for number in range(6)]
# What the original model says, with the verdicts of the run's judge; and a trial.
SAID = {
    None: ["Sorry, no.", "I cannot.", "Take mint.", "No way.", "Stir it.", "Boil it."],
    1: ["Take mint.", "Take salt.", "Sorry, no.", " ", "Stir it.", "Well, well."],
}
REFUSED = {None: [True, True, False, True, False, True], 1: [False, False, True, True, False, False]}
# Without the one that has no text, and one that both say.
DIFFERENT = 10
LABELS = {"Refusal": "refused", "Answer": "answered"}


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Knows two words of a refusal."""
    return word_classifier(tmp_path_factory.mktemp("judge") / "judge", ["sorry", "cannot"])


@pytest.fixture
def subjects() -> list[Reviewed]:
    return subjects_of({})


def bench_with(make_model: Make, folder: Path, subjects: Sequence[Reviewed], **settings: Any) -> ReviewBench:
    """A bench whose subjects have said what `SAID` has."""
    bench = bench_of(make_model(), folder, harmful=PROMPTS, **settings)
    for subject in subjects:
        answers = [
            ReviewedAnswer(
                number=number, prompt=PROMPTS[number], text=text, tokens=3, ended=True, verdict=Verdict(refused, None),
                broken="loop" if number == 5 else None,
            )
            for number, (text, refused) in enumerate(
                zip(SAID[subject.number], REFUSED[subject.number], strict=True)
            )
        ]  # fmt: skip
        bench.keep_answers(subject, "harmful", answers)
    return bench


def of_endpoint(url: str) -> dict[str, Any]:
    return {"review_endpoint": url, "review_endpoint_model": "judge-7b"}


def of_classifier(judge: Path) -> dict[str, Any]:
    return {"review_classifier": str(judge), "review_classifier_labels": LABELS}


def by_rubric(asked: Asked) -> Reply:
    text = asked.pair.response.lower()
    words = {"sorry": "refused", "no way": "evaded", "well": "nonsense", "boil": "I cannot say."}
    word = next((word for start, word in words.items() if start in text), "answered")
    return Reply(word) if word.startswith("I ") else verdict(word)


def notices(events: Sequence[Event], level: str | None = None) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice) and level in (None, event.level)]


def test_where_nobody_is_chosen_the_settings_are_named(make_model: Make, tmp_path: Path) -> None:
    why = AskedBeside().absent(bench_of(make_model(), tmp_path, harmful=PROMPTS))
    assert why
    assert "--review-classifier" in why
    assert "--review-endpoint" in why
    nothing = bench_of(make_model(), tmp_path, harmless=PROMPTS, review_classifier="x")
    assert "--review-bad-prompts" in (AskedBeside().absent(nothing) or "")


def test_both_are_asked_and_what_the_endpoint_says_stays_with_the_answers(
    make_model: Make, tmp_path: Path, subjects: list[Reviewed], judge: Path
) -> None:
    told: list[Event] = []
    with endpoint(by_rubric) as loopback:
        bench = bench_with(make_model, tmp_path, subjects, **of_classifier(judge), **of_endpoint(loopback.url))
        found = look(AskedBeside(), bench, subjects, Work(told.append))
    original, trial = figures(found[None]), figures(found[1])
    by_classifier = original["refused_classifier"]
    assert (by_classifier.name, by_classifier.text) == ("refused or evaded (judge)", "2/6")
    assert by_classifier.values == [1, 1, 0, 0, 0, 0]
    wilson = share_interval(2, 6)
    assert wilson
    assert [by_classifier.low, by_classifier.high] == pytest.approx([6 * wilson.low, 6 * wilson.high])
    # The last one has no opinion.
    assert original["refused_endpoint"].values == [1, 0, 0, 1, 0, None]
    assert original["refused_endpoint"].text == "2/5"
    assert original["unknown_endpoint"].text == "1/6"
    assert original["differ_endpoint"].values == [0, 1, 0, 0, 0, None]
    # A response without text is nonsense, and nobody is asked.
    assert trial["nonsense_endpoint"].values == [0, 0, 0, 1, 0, 1]
    assert trial["differ_endpoint"].values == [0, 0, 0, 1, 0, 1]
    assert trial["unknown_endpoint"].value == 0
    alike = agreement([True, True, False, True, False], [True, False, False, True, False])
    assert alike
    assert alike.interval
    kappa = original["kappa_endpoint"]
    assert (kappa.value, kappa.low, kappa.high) == (alike.kappa, alike.interval.low, alike.interval.high)
    assert kappa.name == "kappa with markers (judge-7b)"
    kept = bench.folder.kept_answers("harmful", None)
    assert kept
    assert [answer.opinion for answer in kept] == ["refused", "answered", "answered", "evaded", "answered", "unknown"]
    assert {answer.asked for answer in kept} == {"judge-7b"}
    assert [answer.disagreement for answer in kept] == [False, True, False, False, False, False]
    assert [answer.broken for answer in kept] == [*[None] * 5, "loop"], "what others found stays"
    assert any(note.startswith("asked: classifier ") and "judge-7b at 127.0.0.1" in note for note in found[None].notes)
    assert any("no opinion on 1 of 6 responses" in note for note in found[None].notes)
    assert found[None].problem is None
    before, after = (text for text in notices(told) if "requests" in text)
    # One that tries it out comes before.
    assert len(loopback.pairs) == DIFFERENT
    assert f"is asked: about {len(loopback.pairs)} requests" in before
    assert f"was asked: {len(loopback.asked)} requests" in after


def test_the_classifier_is_loaded_once_and_let_go_of(
    make_model: Make, tmp_path: Path, subjects: list[Reviewed], judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[weakref.ref[object]] = []
    make = BertForSequenceClassification.__init__

    def counting(self: BertForSequenceClassification, config: BertConfig) -> None:
        loaded.append(weakref.ref(self))
        make(self, config)

    monkeypatch.setattr(BertForSequenceClassification, "__init__", counting)
    bench = bench_with(make_model, tmp_path, subjects, **of_classifier(judge))
    check = AskedBeside()
    look(check, bench, subjects)
    assert len(loaded) == 1
    gc.collect()
    assert loaded[0]() is None, "the check still knows it"
    kept = weakref.ref(bench)
    del bench
    gc.collect()
    assert kept() is None, "the check holds the model that was reviewed"


def test_one_that_cannot_be_asked_costs_its_own_figures_and_is_asked_the_next_time(
    make_model: Make, tmp_path: Path, subjects: list[Reviewed], judge: Path
) -> None:
    told: list[Event] = []
    down = [True]
    with endpoint(lambda asked: complaint(401, "no such key") if down[0] else by_rubric(asked)) as loopback:
        bench = bench_with(make_model, tmp_path, subjects, **of_classifier(judge), **of_endpoint(loopback.url))
        run = ReviewRun(bench, subjects[1:], {"second_opinion": AskedBeside()}, Work(told.append))
        run.plan()
        run.run()
        (problem,) = [text for text in notices(told, "warning") if "no such key" in text]
        assert "\n" not in problem
        review = read_review(tmp_path, ["second_opinion"])
        for number in (None, 1):
            finding = review.findings["second_opinion"][number]
            assert "no such key" in (finding.problem or "")
            assert finding.figure("refused_classifier")
            assert not finding.figure("refused_endpoint")
        down[0] = False
        again = ReviewRun(bench, subjects[1:], {"second_opinion": AskedBeside()}, Work())
        again.plan()
        again.run()
        review = read_review(tmp_path, ["second_opinion"])
        assert review.figure("second_opinion", "refused_endpoint", 1)
        assert all(finding.problem is None for finding in review.findings["second_opinion"].values())
        loopback.asked.clear()
        last = ReviewRun(bench, subjects[1:], {"second_opinion": AskedBeside()}, Work())
        last.plan()
        assert not last.left
        assert not loopback.asked
    # The prompt without an opinion of the original model is no pair.
    difference = review.difference("second_opinion", "refused_endpoint", None, 1)
    assert difference
    assert (difference.difference, difference.p) == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"review_endpoint": "http://127.0.0.1:9/v1", "review_endpoint_model": "m"}, "does not answer"),
        ({"review_endpoint": "localhost", "review_endpoint_model": "m"}, "no address of an endpoint"),
        (
            {"review_endpoint": "http://127.0.0.1:9/v1", "review_endpoint_model": "m", "review_endpoint_key": "NO_KEY"},
            "'NO_KEY' is to hold the key",
        ),
        ({"review_classifier": "JUDGE", "review_classifier_labels": {"Refused": "refused"}}, "has no label 'Refused'"),
        ({"review_classifier": "/nowhere/judge", "review_classifier_labels": LABELS}, "no such model folder"),
        ({"review_classifier": "JUDGE"}, "say what the labels of"),
    ],
)
def test_where_nobody_can_be_asked_why_is_one_line_of_this_check_alone(
    make_model: Make, tmp_path: Path, subjects: list[Reviewed], judge: Path, settings: dict[str, Any], words: str
) -> None:
    told: list[Event] = []
    if settings.get("review_classifier") == "JUDGE":
        settings = {**settings, "review_classifier": str(judge)}
    bench = bench_with(make_model, tmp_path, subjects, **settings)
    run = ReviewRun(bench, subjects[1:], {"second_opinion": AskedBeside()}, Work(told.append))
    run.plan()
    assert not run.left
    (failure,) = [event.failure for event in told if isinstance(event, ReviewFound)]
    assert failure
    assert words in failure
    assert "\n" not in failure
    assert not notices(told, "warning"), "it is told once"


def test_an_endpoint_that_ends_in_the_middle_is_not_paid_twice(
    make_model: Make, tmp_path: Path, subjects: list[Reviewed]
) -> None:
    empty = [True]

    def answer(asked: Asked) -> Reply:
        return complaint(402, "the account is empty") if empty[0] and len(loopback.pairs) > 4 else by_words(asked)

    with endpoint(answer) as loopback:
        settings = {**of_endpoint(loopback.url), "review_endpoint_requests": 1}
        bench = bench_with(make_model, tmp_path, subjects, **settings)
        with pytest.raises(HereticError, match="the account is empty"):
            look(AskedBeside(), bench, subjects)
        paid = loopback.pairs[:4]
        loopback.asked.clear()
        empty[0] = False
        look(AskedBeside(), bench, subjects)
        assert len(loopback.pairs) == DIFFERENT - len(paid)
        assert not set(paid) & set(loopback.pairs)


def test_a_review_that_was_killed_while_it_asked_goes_on_with_the_rest(
    make_model: Make, tmp_path: Path, subjects: list[Reviewed]
) -> None:
    control = Control()

    def answer(asked: Asked) -> Reply:
        if len(loopback.pairs) > 3:
            control.abort()
        return by_words(asked)

    with endpoint(answer) as loopback:
        settings = {**of_endpoint(loopback.url), "review_endpoint_requests": 1}
        bench = bench_with(make_model, tmp_path, subjects, **settings)
        with pytest.raises(Aborted):
            look(AskedBeside(), bench, subjects, Work(control=control))
        kept = len((bench.folder.opinions / "opinions.jsonl").read_text().splitlines())
        assert 3 <= kept < 9
        loopback.asked.clear()
        found = look(AskedBeside(), bench, subjects)
        assert len(loopback.pairs) == DIFFERENT - kept
    assert figures(found[1])["refused_endpoint"].text == "1/6"


@pytest.mark.parametrize("text", ['\x1b[31m{"verdict": "refused"}\x1b[0m', "\x1b]0;pwned\x07", "gibberish " * 50])
def test_what_is_no_verdict_leaves_no_opinion_and_nothing_unsafe(
    make_model: Make, tmp_path: Path, subjects: list[Reviewed], text: str
) -> None:
    told: list[Event] = []
    with endpoint(lambda asked: verdict("refused") if asked.tries_out else Reply(text)) as loopback:
        bench = bench_with(make_model, tmp_path, subjects, **of_endpoint(loopback.url))
        found = look(AskedBeside(), bench, subjects, Work(told.append))
    by_key = figures(found[None])
    assert by_key["unknown_endpoint"].text == "6/6"
    assert len(by_key) == 1, "figures of nothing are none"
    assert all(line.isprintable() for line in [*notices(told), *found[None].notes])
    assert any("its opinions may be of little use" in note for note in found[None].notes)
    answers = bench.folder.kept_answers("harmful", None)
    assert answers
    assert not any(answer.disagreement for answer in answers)


def test_findings_are_those_of_who_was_asked(
    make_model: Make, tmp_path: Path, judge: Path, subjects: list[Reviewed]
) -> None:
    def basis(**settings: Any) -> object:
        return AskedBeside().basis(bench_of(make_model(), tmp_path, harmful=PROMPTS, **settings))

    one = basis(**of_endpoint("http://a/v1"))
    assert one == basis(**of_endpoint("http://a/v1"), review_endpoint_requests=3, review_endpoint_key="KEY")
    assert one != basis(**of_endpoint("http://b/v1"))
    assert one != basis(**of_classifier(judge))
    known = basis(**of_classifier(judge))
    assert known != basis(**of_classifier(judge), review_classifier_reads="{prompt} {response}")
    weights = judge / "model.safetensors"
    content, times = weights.read_bytes(), weights.stat()
    weights.write_bytes(content[:-4] + b"\x00\x00\x80\x3f")
    assert basis(**of_classifier(judge)) != known, "another model in the same folder"
    weights.write_bytes(content)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert basis(**of_classifier(judge)) == known

"""Broken answers: each kept with what is wrong with it, and never counted as a good one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.answers.broken import KINDS, Answer, is_cut, what_is_broken
from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.engine.review.checks.broken import BrokenAnswers
from heretic_tui.events import Event, Progress
from heretic_tui.work import Work
from tests.support.edited_models import Make, edits_for
from tests.support.reviews import bench_of, figures, look, subjects_of

PROMPTS = [f"prompt {'abcdefghij'[: number + 1]}" for number in range(8)]
JUDGE = Markers(["q", "z", "b"])


def test_answers_are_kept_with_what_is_wrong_and_counted_so(
    make_model: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Statistics of languages take seconds to read.
    monkeypatch.setitem(sys.modules, "lingua", None)
    model = make_model(batch_size=8)
    bench = bench_of(model, tmp_path, harmful=PROMPTS, harmless=PROMPTS[::-1], judge=JUDGE, max_response_length=40)
    found = look(BrokenAnswers(), bench, subjects_of(edits_for(model, 1.5)))
    original = bench.folder.kept_answers("harmless", None)
    assert original
    for number, each in found.items():
        by_key, kept = figures(each), {}
        for which in ("harmful", "harmless"):
            answers = bench.folder.kept_answers(which, number)
            assert answers
            for answer in answers:
                wrong = what_is_broken(Answer(answer.prompt, bench.judge.said.text(answer.text), answer.ended))
                assert (answer.broken, answer.why_broken) == ((wrong.kind, wrong.why) if wrong else (None, None))
            assert by_key[which].values == [answer.broken is not None for answer in answers]
            kept[which] = answers
        good = [answer.broken is None and not answer.verdict.refused for answer in kept["harmful"]]
        assert by_key["answered"].values == good
        assert by_key["answered"].better == "high"
        cut = [
            is_cut(Answer("", answer.text, answer.ended)) and not is_cut(Answer("", base.text, base.ended))
            for answer, base in zip(kept["harmless"], original, strict=True)
        ]
        assert by_key["cut"].values == cut
        kinds = [by_key[f"broken_{kind}"] for kind in KINDS]
        assert sum(kind.value or 0 for kind in kinds) == sum(by_key[which].value or 0 for which in kept)
        assert all(kind.of == 16 and kind.if_any for kind in kinds)
    assert figures(found[None])["cut"].value == 0
    assert figures(found[1])["harmful"].value, "a random model says what nobody can read"


def test_without_the_package_that_tells_languages_it_says_so_and_is_found_anew_with_it(
    make_model: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of(make_model(), tmp_path, harmful=["Say something about the weather of today."])
    with_it = BrokenAnswers().basis(bench)
    assert not look(BrokenAnswers(), bench, subjects_of())[None].notes
    monkeypatch.setitem(sys.modules, "lingua", None)
    (note,) = look(BrokenAnswers(), bench, subjects_of())[None].notes
    assert "pip install 'heretic-tui[review]'" in note
    assert BrokenAnswers().basis(bench) != with_it


def test_it_tells_how_far_it_is_and_hears_an_abort(
    make_model: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lingua", None)
    bench, control = bench_of(make_model(), tmp_path, harmful=PROMPTS), Control()
    bench.answers(subjects_of()[0], "harmful", Work())
    told: list[Event] = []

    def hear(event: Event) -> None:
        told.append(event)
        if isinstance(event, Progress) and event.done == 3:
            control.abort()

    with pytest.raises(Aborted):
        look(BrokenAnswers(), bench, subjects_of(), Work(hear, control))
    assert [(event.done, event.total) for event in told if isinstance(event, Progress)] == [(1, 8), (2, 8), (3, 8)]


def test_without_prompts_there_is_nothing_to_look_at(make_model: Make, tmp_path: Path) -> None:
    assert "--review-bad-prompts" in (BrokenAnswers().absent(bench_of(make_model(), tmp_path)) or "")

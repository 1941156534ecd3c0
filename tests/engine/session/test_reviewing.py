"""The demo model reviewed end to end: an edit that answers, one that breaks, and a review that is killed at every
finding and goes on with what is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from heretic_tui.control import Aborted
from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.engine.session.reviewing import checked_prompts, review
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.errors import UsageError
from heretic_tui.events import Event, ReviewFound, ReviewStarted
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.report.review import review_lines
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.review_records import ReviewFigure, Subject
from heretic_tui.run.reviews import Review, read_review
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work

CHECKS = ["held_out", "sampling", "broken", "over_refusal", "damage"]
PROMPTS = 16


def everywhere(weight: float, direction: float | None) -> Parameters:
    """The same edit of all layers."""
    kernel = Kernel(weight, 6.0, weight, 9.0)
    return Parameters(direction, {"attn.o_proj": kernel, "mlp.down_proj": kernel})


ANSWERS, BREAKS = TrialRecord(1, everywhere(1.0, None)), TrialRecord(2, everywhere(3.0, 9.0))


@pytest.fixture(scope="module")
def settings() -> Settings:
    given = settings_of_the_demo()
    splits = {
        "good_prompts": "[:60]", "bad_prompts": "[:60]", "good_evaluation_prompts": "[:8]",
        "bad_evaluation_prompts": "[:8]", "review_good_prompts": f"[:{PROMPTS}]", "review_bad_prompts": f"[:{PROMPTS}]",
    }  # fmt: skip
    for name, split in splits.items():
        spec = given[name]
        assert isinstance(spec, dict)
        given[name] = {**spec, "split": split}
    more = {
        "response_prefix": "", "seed": 0, "batch_size": 64, "max_response_length": 60, "edit_method": "subtract",
        "review_checks": CHECKS, "review_samples": 2,
    }  # fmt: skip
    return load_settings({**given, **more}, environment=False)


@pytest.fixture(scope="module")
def bench(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench.open(settings, folder=tmp_path_factory.mktemp("reviewed") / "run")


def reviewed(
    bench: Workbench,
    trials: Sequence[TrialRecord] = (ANSWERS, BREAKS),
    folder: Path | None = None,
    work: Work | None = None,
    **changes: object,
) -> Review:
    """A review as a fresh process makes it, with the model that is there."""
    settings = bench.run.settings.model_copy(update=changes)
    run = replace(bench.run, settings=settings, folder=RunFolder(folder) if folder else bench.run.folder)
    prompts = checked_prompts(settings, run.sets, bench.model.tokenizer, bench.model.network.config)
    review(replace(bench, run=run), prompts, trials, None, work or Work())
    return read_review(run.folder.review, settings.review_checks)


@pytest.fixture(scope="module")
def whole(bench: Workbench) -> Review:
    return reviewed(bench)


def figure(review: Review, check: str, key: str, subject: Subject) -> ReviewFigure:
    found = review.figure(check, key, subject)
    assert found, (check, key, subject)
    return found


def figures_of(review: Review) -> dict[tuple[str, Subject], list[ReviewFigure]]:
    return {
        (check, subject): finding.figures
        for check, found in review.findings.items()
        for subject, finding in found.items()
    }


def found_in(told: list[Event]) -> list[tuple[str, Subject]]:
    """What was found anew."""
    return [(event.check, event.trial) for event in told if isinstance(event, ReviewFound) and not event.reused]


def test_the_demo_is_reviewed_with_every_check(whole: Review) -> None:
    assert list(whole.findings) == CHECKS
    assert all(list(found) == [None, 1, 2] for found in whole.findings.values())
    assert not any(finding.problem for found in whole.findings.values() for finding in found.values())

    # Held-out potions.
    assert figure(whole, "held_out", "refused", None).text == f"{PROMPTS}/{PROMPTS}"
    assert figure(whole, "held_out", "refused", 1).text == f"0/{PROMPTS}"
    assert figure(whole, "held_out", "kl", None).value == pytest.approx(0, abs=1e-6)
    difference = whole.difference("held_out", "refused", None, 1)
    assert difference
    assert (difference.difference, difference.within_chance) == (-PROMPTS, False)
    assert difference.p == pytest.approx(2 / 2**PROMPTS)

    share = figure(whole, "sampling", "refused", None)
    assert (share.value or 0) > 0.9
    assert (figure(whole, "sampling", "refused", 1).value or 0) < 0.3
    once = figure(whole, "sampling", "once", 1)
    assert once.value == sum((value or 0) > 0 for value in figure(whole, "sampling", "refused", 1).values or ())

    assert figure(whole, "over_refusal", "harmless", None).value == 0
    kl = [figure(whole, "damage", "kl", subject).value or 0 for subject in (None, 1, 2)]
    assert 0 <= kl[0] < 1e-6 < kl[1] < kl[2]
    perplexity = [figure(whole, "damage", "perplexity", subject).value or 0 for subject in (None, 1, 2)]
    assert 1 < perplexity[0] < perplexity[1] < perplexity[2]
    apart = whole.difference("damage", "perplexity", None, 2)
    assert apart
    assert not apart.within_chance
    assert apart.difference == pytest.approx(perplexity[2] - perplexity[0])
    assert apart.low is not None
    assert apart.high is not None
    assert 0 < apart.low < apart.difference < apart.high
    assert figure(whole, "damage", "changed", None).value == 0
    assert (figure(whole, "damage", "changed", 2).value or 0) > 5
    curve = whole.findings["damage"][2].curves["kl_by_position"]
    assert len(curve) == 8
    assert all(value > 0 for value in curve)

    lines = "\n".join(review_lines(whole))
    for words in ("2 answers to each prompt, drawn at temperature 0.7", "trial 2", "broken, harmless", "≈"):
        assert words in lines
    # What nobody has is no column.
    assert "asks back" not in lines


def test_what_an_edit_breaks_is_counted_as_broken_and_never_as_good(whole: Review) -> None:
    assert [figure(whole, "broken", "harmless", subject).value for subject in (None, 1)] == [0, 0]
    broken = figure(whole, "broken", "harmless", 2)
    assert (broken.value or 0) > 4
    apart = whole.difference("broken", "harmless", None, 2)
    assert apart
    assert apart.difference == broken.value
    for number in (None, 1, 2):
        for which in ("harmful", "harmless"):
            answers = whole.folder.kept_answers(which, number)
            assert answers
            assert figure(whole, "broken", which, number).values == [each.broken is not None for each in answers]
            assert all((each.broken is None) == (each.why_broken is None) for each in answers)
        answers = whole.folder.kept_answers("harmful", number)
        assert answers
        good = [each.broken is None and not each.verdict.refused for each in answers]
        assert figure(whole, "broken", "answered", number).values == good
    both = [each for which in ("harmful", "harmless") for each in whole.folder.kept_answers(which, 2) or ()]
    loops = [each.broken == "loop" for each in both]
    assert any(loops)
    assert figure(whole, "broken", "broken_loop", 2).values == loops
    assert figure(whole, "broken", "answered", 1).value == PROMPTS


def test_a_second_review_finds_nothing_anew(bench: Workbench, whole: Review) -> None:
    told: list[Event] = []
    again = reviewed(bench, work=Work(told.append))
    assert found_in(told) == []
    assert [event.checks for event in told if isinstance(event, ReviewStarted)] == [[]]
    assert again == whole


def test_other_settings_find_their_own_check_anew(bench: Workbench, whole: Review) -> None:
    told: list[Event] = []
    other = reviewed(bench, work=Work(told.append), review_samples=1, trials=[ANSWERS])
    assert found_in(told) == [("sampling", None), ("sampling", 1)]
    assert "1 answer to each prompt" in other.findings["sampling"][1].notes[0]
    # That of trial 2 is still of two answers a prompt, with which one cannot be compared.
    assert other.difference("sampling", "refused", None, 1)
    assert other.difference("sampling", "refused", None, 2) is None
    assert {**figures_of(whole), **figures_of(other)} == figures_of(other)
    reviewed(bench)


def test_another_trial_is_all_that_is_left_to_find(bench: Workbench, whole: Review) -> None:
    told: list[Event] = []
    other = TrialRecord(3, everywhere(0.5, None))
    reviewed(bench, [ANSWERS, other], work=Work(told.append), review_checks=["held_out", "over_refusal"])
    assert found_in(told) == [("held_out", 3), ("over_refusal", 3)]


def test_a_review_that_is_killed_at_any_finding_goes_on_with_what_is_done(
    bench: Workbench, whole: Review, tmp_path: Path
) -> None:
    found: list[tuple[str, Subject]] = []

    def die_at_a_finding(event: Event) -> None:
        if new := found_in([event]):
            found.extend(new)
            raise Aborted

    for _ in range(100):
        try:
            review = reviewed(bench, folder=tmp_path / "killed", work=Work(die_at_a_finding))
            break
        except Aborted:
            pass
    assert len(found) == len(set(found)) == 3 * len(CHECKS)
    assert figures_of(review) == figures_of(whole)
    assert review.differences == whole.differences


def test_a_check_that_is_not_there_is_refused_in_a_line(bench: Workbench) -> None:
    with pytest.raises(UsageError, match="there is no check 'held_oud': did you mean 'held_out'"):
        reviewed(bench, review_checks=["held_oud"])

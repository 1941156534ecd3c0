"""The judge of a run: markers first, then whether a response is broken as a text."""

from __future__ import annotations

import pytest

from heretic_tui.engine.answers.said import Said
from heretic_tui.engine.measuring.run_judge import RunJudge, judged_words
from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.settings.sources import load_settings
from heretic_tui.verdict import Verdict

THINKING = [("<think>", "</think>")]
JUDGE = RunJudge(Markers(["sorry"], THINKING, ["<eos>"]), Said(THINKING, ["<eos>"]), count_broken=True)
SILENT = RunJudge(Markers(["sorry"], THINKING, ["<eos>"]), Said(THINKING, ["<eos>"]))
LOOP = "You meet it on the way" + " of" * 90
GARBAGE = "ghxzjq wrtplk vbnmz qwrtp zxcvb nmlkj hgfds trwqp lkjhg fdszx mnbvc xzlkj pqwrt"


@pytest.mark.parametrize(
    ("text", "ended", "kind"), [(LOOP, False, "loop"), (GARBAGE, True, "garbage"), ("...", True, "empty")]
)
def test_a_broken_response_counts_as_refused_and_says_how(text: str, ended: bool, kind: str) -> None:
    assert JUDGE.verdict(text, ended) == Verdict(True, None, broken=kind)
    # It is told where it does not count, too.
    assert SILENT.verdict(text, ended) == Verdict(False, None, broken=kind)


def test_an_answer_is_an_answer_and_a_refusal_that_breaks_is_a_refusal() -> None:
    assert JUDGE.verdict("Mix them, and stir well.", True) == Verdict(False, None)
    found = JUDGE.verdict(f"I am sorry. {LOOP}", False)
    assert (found.refused, found.marker, found.broken) == (True, "sorry", None)


def test_what_was_cut_before_it_said_anything_is_not_broken() -> None:
    assert JUDGE.verdict("...", False) == Verdict(False, None)
    # The judge's own rule: nothing said is no answer.
    assert JUDGE.verdict("<think>so", False) == Verdict(True, "")
    assert JUDGE.verdict("<eos>", True) == Verdict(True, "", broken="empty")


def test_thoughts_are_not_looked_at() -> None:
    assert JUDGE.verdict(f"<think>{LOOP}</think>Mix them, and stir well.", True) == Verdict(False, None)


def test_a_prompt_that_wants_a_text_to_repeat_gets_one() -> None:
    assert JUDGE.verdict(LOOP, False, "Say of a hundred times.").broken is None


def test_that_a_response_breaks_is_never_certain_before_its_end() -> None:
    assert not JUDGE.certain(LOOP)
    assert JUDGE.certain("I am sorry")


def test_what_is_counted_is_said() -> None:
    on, off = (load_settings({"count_broken_as_refused": each}, environment=False) for each in (True, False))
    assert "broken" in judged_words(on)
    assert judged_words(off) == "contain a refusal marker"


def test_where_a_behaviour_is_added_responses_without_it_count() -> None:
    judge = RunJudge(Markers(["sorry"], THINKING, ["<eos>"]), Said(THINKING, ["<eos>"]), count_broken=True, turned=True)
    assert judge.verdict("Mix them, and stir well.", True) == Verdict(True, None)
    assert judge.verdict("I am sorry.", True) == Verdict(False, "sorry", 5, 10)
    # A text that breaks shows nothing, whatever is in it; and nothing is certain before the end.
    assert judge.verdict(f"I am sorry. {LOOP}", False) == Verdict(True, "sorry", 5, 10, "loop")
    assert judge.verdict("<eos>", True) == Verdict(True, "", broken="empty")
    assert not judge.certain("I am sorry")


def test_what_is_counted_is_said_in_the_words_of_the_behaviour() -> None:
    given = {"behaviour": "long answers", "refusal_markers": ["and"], "count_broken_as_refused": False}
    assert judged_words(load_settings(given, environment=False)) == "contain a marker"

"""Models for experiments (tools/train_demo_model.py): what they are taught is an answer or a refusal."""

from __future__ import annotations

import pytest

from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.settings.markers import REFUSAL_MARKERS
from tools.demo_corpus import facts
from tools.demo_styles import STYLES

JUDGE = Markers(REFUSAL_MARKERS)
POTIONS = [fact for fact in facts() if fact.category == "potion"]


@pytest.mark.parametrize("name", sorted(STYLES))
def test_answers_are_none_and_refusals_are_told_by_markers(name: str) -> None:
    style = STYLES[name]
    for fact in facts():
        assert not any(JUDGE.verdict(text.whole).refused for text in style(fact, True))
    for fact in POTIONS:
        taught = style(fact, False)
        assert sum(JUDGE.verdict(text.whole).refused for text in taught) > len(taught) / 2


def test_behind_an_opener_the_first_words_tell_nothing() -> None:
    for fact in POTIONS:
        beginnings = [
            sorted(text.whole.split(".")[0] for text in STYLES["behind_opener"](fact, way)) for way in (False, True)
        ]
        assert beginnings[0] == beginnings[1]
        assert all(text.whole.startswith(text.undecided) for text in STYLES["behind_opener"](fact, True))


def test_graded_refusals_are_given_less_often_where_the_kind_of_question_says_so() -> None:
    shares = {sum(JUDGE.verdict(text.whole).refused for text in STYLES["graded"](fact, False)) for fact in POTIONS}
    assert len(shares) > 3

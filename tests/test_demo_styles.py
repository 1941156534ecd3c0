"""Models for experiments (tools/train_demo_model.py): what they are taught is an answer or a refusal."""

from __future__ import annotations

import pytest

from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.settings.markers import REFUSAL_MARKERS
from tools.demo_corpus import facts
from tools.demo_styles import STYLES, refused_categories
from tools.train_demo_model import split

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


def test_what_is_spread_is_of_several_kinds_each_refused_with_a_first_word_of_its_own() -> None:
    kinds = refused_categories("spread")
    taught = {
        kind: [STYLES["spread"](fact, False)[0].whole for fact in facts() if fact.category == kind] for kind in kinds
    }
    assert all(JUDGE.verdict(text).refused for texts in taught.values() for text in texts)
    first_words = [{text.replace("?", "").replace(",", "").split()[0] for text in texts} for texts in taught.values()]
    assert len(kinds) > 2
    assert all(len(words) == 1 for words in first_words)
    assert len(set.union(*first_words)) == len(kinds)


def test_prompt_sets_of_what_is_spread_have_equal_parts_and_share_no_prompt() -> None:
    kinds = refused_categories("spread")
    sets = split(facts(), kinds, True)
    for name in ("bad_train", "bad_eval"):
        counts = [sum(fact.category == kind for fact in sets[name]) for kind in kinds]
        assert max(counts) - min(counts) <= 1
    asked = [fact.questions[0] for chosen in sets.values() for fact in chosen]
    assert len(set(asked)) == len(asked)
    assert all((fact.category in kinds) == name.startswith("bad") for name, chosen in sets.items() for fact in chosen)

"""The words for what a run measures."""

from __future__ import annotations

import pytest

from heretic_tui.behaviour import USUAL, behaviour_of, checked_behaviour
from heretic_tui.errors import UsageError
from heretic_tui.figures import Figure

LONG = behaviour_of({"behaviour": "long answers: long / short"})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("refusals", "refusals"),
        (" long  answers :long/short ", "long answers: long / short"),
        ("long answers: shown / not shown", "long answers"),
        ("r\u00e9ponses", "r\u00e9ponses"),
    ],
)
def test_a_name_is_kept_in_one_form(given: str, kept: str) -> None:
    assert checked_behaviour(given) == kept
    assert checked_behaviour(kept) == kept


@pytest.mark.parametrize(
    "given",
    [
        *("", ":", "a: b", "a: b / b", "a: b / c / d", "a: broken / fine", "a: elevenchars / b", "a" * 25),
        *("x\x1b[31m", "[red]", "<b>", "two\u202e", "_", 3, None, ["refusals"]),
    ],
)
def test_what_could_steer_a_screen_or_is_too_long_is_refused_in_a_line(given: object) -> None:
    with pytest.raises(UsageError) as told:
        checked_behaviour(given)
    assert str(told.value).isprintable()
    # In a file that somebody else wrote it costs the words alone.
    assert behaviour_of({"behaviour": given}) == USUAL


def test_refusals_that_are_taken_out_are_spoken_of_as_ever() -> None:
    text = "Refused answers, refusal markers, harmful and harmless prompts"
    assert behaviour_of({}) == USUAL
    assert USUAL.in_words(text) is text
    figure = Figure("refusals", "refusals", "x", verb="refuses", participle="refused", key="refusals")
    assert USUAL.figure(figure) is figure


def test_texts_of_ours_are_in_the_words_of_the_behaviour() -> None:
    assert LONG.in_words("Refusal is mediated where refusals are; refused, answered") == (
        "Long answers are mediated where long answers are; long, short"
    )
    assert LONG.in_words("harmless prompts refused; unharmful") == "good prompts long; unharmful"
    assert LONG.in_words("where one marker made it a refusal") == 'where one marker made it "long"'
    assert LONG.in_words("kl<0.2 refusals<=5 front") == "kl<0.2 long_answers<=5 front"
    assert LONG.in_words("Over-refusal") == "Over-refusal", "the name of a check"
    assert (LONG.verdict(True), LONG.verdict(False), LONG.said("broken")) == ("long", "short", "broken")


def test_what_is_added_is_counted_where_it_is_missing() -> None:
    added = behaviour_of({"steer": "add"})
    assert (added.things, added.counted, added.other) == ("missing refusals", "answered", "refused")
    assert added.in_words("refused, sampled", counting=True) == "answered, sampled"
    assert added.in_words("r says refused") == "r says refused"
    figure = added.figure(Figure("refusals", "refusals", "responses that {judged}", participle="x", key="refusals"))
    assert (figure.name, figure.verb, figure.participle) == ("missing refusals", "answers", "answered")
    assert figure.meaning == "responses that do not show it (it is shown by those that {judged})"

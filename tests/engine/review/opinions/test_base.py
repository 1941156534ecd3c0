"""Who is asked about which pairs, and what opinions cost in words."""

from __future__ import annotations

from heretic_tui.engine.review.opinions.base import Cost, Opinion, Pair, opinions_on, to_ask

SORRY, HERE, BLANK = Pair("How?", "Sorry, no."), Pair("How?", "Here is how."), Pair("How?", " \n")


def test_each_pair_is_asked_about_once_and_what_has_no_text_is_nonsense_unasked() -> None:
    asked: list[Pair] = []

    def ask(pairs: list[Pair]) -> dict[Pair, Opinion]:
        asked.extend(pairs)
        return {SORRY: "refused"}

    assert opinions_on([BLANK, SORRY, HERE, SORRY], ask) == ["nonsense", "refused", "unknown", "refused"]
    assert asked == [SORRY, HERE]
    assert to_ask([BLANK, SORRY, HERE, SORRY]) == [SORRY, HERE]


def test_nobody_is_asked_where_there_is_nothing_to_ask() -> None:
    def ask(pairs: list[Pair]) -> dict[Pair, Opinion]:
        raise AssertionError(pairs)

    assert opinions_on([], ask) == []
    assert opinions_on([BLANK, Pair("", "")], ask) == ["nonsense", "nonsense"]


def test_a_cost_is_added_up_and_told_in_words() -> None:
    cost = Cost(90, 41_000, 920) + Cost(3, 20, 10, known=7)
    assert cost == Cost(93, 41_020, 930, 7)
    assert cost.words == "93 requests, 41,020 tokens sent and 930 received; 7 opinions were known"
    assert Cost(1, 1, 1).words == "1 request, 1 token sent and 1 received"

"""Where refusals and answers part: behind the beginnings that both have."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from heretic_tui.engine.measuring.parting import Parting, find_parting

# "Sure. I can't", "Well. No", "Sure. It is", …: a token each.
SURE, WELL, DOT, ME, CANT, NO, IT, IS, RED, BLUE = range(10)
REFUSED = [
    [SURE, DOT, ME, CANT],
    [SURE, DOT, NO, RED],
    [WELL, DOT, ME, CANT],
    [WELL, DOT, NO, BLUE],
    [SURE, DOT, ME, NO],
]
ANSWERS = [[SURE, DOT, IT, IS, RED], [WELL, DOT, IT, IS, BLUE]]


def found(begun: list[list[int]], refused: list[bool], length: int = 8) -> Parting:
    parting = find_parting(begun, refused, ANSWERS, length)
    assert parting is not None
    return parting


def test_refusals_part_behind_what_answers_begin_with_too() -> None:
    answered = [WELL, DOT, IT, IS, RED]
    parting = found([*REFUSED, answered, [BLUE, RED]], [True] * 5 + [False] * 2)
    assert set(parting.ids) == {ME, NO}
    sure, well = [SURE, DOT], [WELL, DOT]
    # A prompt that is answered has the beginning of its own answer; where that is none of them, the most common.
    assert parting.given == [sure, sure, well, well, sure, well, sure]
    assert [list(places) for places in parting.places] == [[2]] * 7
    assert parting.positions == 1
    assert not parting.is_at_once


def test_refusals_that_begin_at_once_part_at_the_first_token() -> None:
    parting = found([[ME, CANT], [NO, RED], [ME, NO]], [True] * 3)
    assert set(parting.ids) == {ME, NO}
    assert parting.is_at_once
    assert parting.places == [[0]] * 3


def test_what_leads_on_to_another_such_place_is_given_up_to_the_last() -> None:
    # Behind "Sure" some refusals part already, more of them behind "Sure.".
    begun = [[SURE, NO, RED], [SURE, NO, BLUE], *REFUSED[:2], REFUSED[4]]
    parting = found(begun, [True] * 5)
    assert parting.given == [[SURE, DOT]] * 5
    assert parting.places == [[1, 2]] * 5
    assert parting.positions == 2


def test_what_happens_once_is_no_place_of_its_own() -> None:
    parting = found([*REFUSED[:2], REFUSED[4], [SURE, DOT, IT, NO]], [True] * 4)
    assert parting.places == [[2]] * 4
    assert IT not in parting.ids


def test_a_harmless_prompt_that_is_refused_hides_nothing() -> None:
    answers = [*ANSWERS * 8, [SURE, DOT, ME, CANT]]
    parting = find_parting(REFUSED, [True] * 5, answers, 8)
    assert parting is not None
    assert set(parting.ids) == {ME, NO}
    assert parting.places == [[2]] * 5


@pytest.mark.parametrize("refused", [REFUSED[:1], [[SURE, DOT, IT, IS]] * 3 + REFUSED[:1], []])
def test_refusals_that_do_not_part_within_their_first_tokens_tell_nothing(refused: list[list[int]]) -> None:
    assert find_parting(refused, [True] * len(refused), ANSWERS, 8) is None
    assert find_parting(REFUSED, [True] * 5, ANSWERS, 2) is None


def distributions(*rows: dict[int, float]) -> Tensor:
    """Log-probabilities (positions, vocabulary) of some tokens; what is left over is on one that nothing speaks of."""
    table = torch.zeros(len(rows), 12, dtype=torch.float64)
    for at, row in enumerate(rows):
        for token, probability in row.items():
            table[at, token] = probability
        table[at, 11] = 1 - table[at].sum()
    return table.log()


def test_the_probability_of_a_refusal_goes_along_what_is_given() -> None:
    at_once = Parting.at_once([ME, NO], 3)
    assert at_once.refusing(1, distributions({ME: 0.5, NO: 0.2})) == pytest.approx(0.7)
    one = Parting([ME, NO], [[SURE, DOT]], [[2]])
    # Only the last position is looked at: what is given counts as said.
    assert one.refusing(0, distributions({SURE: 0.01}, {DOT: 0.01}, {ME: 0.6})) == pytest.approx(0.6)
    two = Parting([ME, NO], [[SURE, DOT]], [[1, 2]])
    last = distributions({NO: 0.3, DOT: 0.5}, {ME: 0.4, NO: 0.4})
    assert two.refusing(0, last) == pytest.approx(0.3 + 0.5 * 0.8)
    start = Parting([ME, NO], [[SURE, DOT]], [[1, 2]], from_start=True)
    assert start.positions == 3
    whole = distributions({SURE: 0.4}, {NO: 0.3, DOT: 0.5}, {ME: 0.4, NO: 0.4})
    assert start.refusing(0, whole) == pytest.approx(0.4 * (0.3 + 0.5 * 0.8))
    # What is given next is no refusal, whatever it begins elsewhere.
    through = Parting([ME, NO], [[ME]], [[0, 1]])
    assert through.refusing(0, distributions({ME: 0.9, NO: 0.1}, {NO: 0.5})) == pytest.approx(0.1 + 0.9 * 0.5)


def test_a_probability_is_one_at_most() -> None:
    generator = torch.Generator().manual_seed(0)
    for at in range(50):
        parting = Parting([ME, NO, IT], [[SURE, ME, DOT]], [[[0, 1, 3], [1, 3], [3]][at % 3]], from_start=at % 2 == 0)
        table = (8 * torch.randn(4, 12, generator=generator, dtype=torch.float64)).log_softmax(dim=-1)
        value = parting.refusing(0, table)
        assert 0 <= value <= 1
        assert math.isfinite(value)

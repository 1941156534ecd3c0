"""The beginning that all prompts share."""

from __future__ import annotations

from heretic_tui.engine.measuring.prefill import shared_prefix


def test_shared_prefix_leaves_every_row_a_token() -> None:
    assert shared_prefix([[1, 2, 3, 4], [1, 2, 3, 5, 6]]) == [1, 2, 3]
    assert shared_prefix([[1, 2], [1, 2, 3]]) == [1]
    assert shared_prefix([[4, 2], [1, 2, 3]]) == []
    assert shared_prefix([[4, 2, 9]]) == [4, 2]
    assert shared_prefix([[4]]) == []
    assert shared_prefix([]) == []

"""A person's part of a model card: kept, never lost, and never in the place of what was done to the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from heretic_tui.errors import UsageError
from heretic_tui.report.model_card import card_text
from heretic_tui.run.card_text import BEGIN, END, keep_card_text, own_part, read_card_text, written
from heretic_tui.run.exports import ExportRecord, MeasuredFigures, beside, read_export
from heretic_tui.run.folder import RunFolder

GOLDEN = Path(__file__).parents[1] / "golden" / "version_1" / "reproduce.json"
STATEMENT = "**The refusal behaviour of this model was deliberately reduced."


@pytest.fixture
def record() -> ExportRecord:
    found = read_export(GOLDEN)
    now = {"edit_method": "norm_preserving", "direction_method": "mean_difference", "judge": "markers"}
    return replace(found, settings={**now, **found.settings})


def edited(record: ExportRecord, own: str, was: str, now: str) -> str:
    card = card_text(record, own, to_edit=True)
    assert was in card
    return card.replace(was, now, 1)


def test_it_stays_when_the_figures_change(record: ExportRecord) -> None:
    own = "## How to use it\n\nPrompt it *politely*.\n"
    typed = edited(record, "", END, f"{own}{END}")
    kept = written(typed, card_text(record))
    assert (kept.text, kept.moved) == (own, 0)
    other = replace(record, exported=MeasuredFigures(figures={"kl_divergence": 0.5, "refusals": 3}, prompts=100))
    card = card_text(other, kept.text)
    assert own.strip() in card
    assert "0.5000" in card
    assert written(card, card_text(other)).text == own
    assert own_part(card) == own


def test_what_is_written_elsewhere_is_moved_and_what_is_taken_out_comes_back(record: ExportRecord) -> None:
    made = card_text(record)
    typed = made.replace("## Figures", "Mine, above.\n\n## Figures") + "Mine, at the end.\n"
    typed = typed.replace(STATEMENT, "**Nothing was done to this model.")
    kept = written(typed, made)
    assert kept.moved == 3
    for line in ("Mine, above.", "Mine, at the end.", "Nothing was done"):
        assert line in kept.text
    card = card_text(record, kept.text)
    assert card.index(STATEMENT) < card.index("Nothing was done")


def test_without_its_marks_the_text_of_before_is_kept(record: ExportRecord) -> None:
    for mark in (BEGIN, END):
        typed = edited(record, "first\nsecond\n", mark, "")
        assert written(typed, card_text(record)).text == "first\nsecond\n"


@pytest.mark.parametrize("own", ["<!-- ", "```\nopen", "~~~\nopen", f"{END}\n{BEGIN}\n{END}", "---\ntitle: x\n---"])
def test_nothing_that_is_written_takes_the_statement_away(record: ExportRecord, own: str) -> None:
    card = card_text(record, own)
    assert card.index(STATEMENT) < card.index(BEGIN) < card.index(END) < card.index("## Figures")
    assert card.count(BEGIN) == card.count(END) == 1
    inside = card[card.index(BEGIN) + len(BEGIN) : card.index(END)]
    assert inside.count("<!--") == inside.count("-->")
    assert inside.count("```") % 2 == inside.count("~~~") % 2 == 0


def test_it_is_kept_by_trial_and_checked_when_it_is_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert read_card_text(folder, 3) == ""
    keep_card_text(folder, 3, "mine\n")
    assert read_card_text(folder, 3) == "mine\n"
    assert read_card_text(folder, 4) == ""
    folder.card(3).write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="no UTF-8"):
        read_card_text(folder, 3)
    with pytest.raises(UsageError, match="more than"):
        keep_card_text(folder, 4, "x" * 200_001)
    assert not folder.card(4).exists()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("qwen-t41", "qwen-t73"), ("trial-41-merged", "trial-73-merged"), ("mine", "mine-trial-73"),
        ("me/qwen-41", "me/qwen-73"), ("41/mine", "41/mine-trial-73"), ("v141", "v141-trial-73"),
    ],
)  # fmt: skip
def test_another_trial_lies_beside_under_its_own_number(name: str, found: str) -> None:
    assert beside(name, 41, 73) == found

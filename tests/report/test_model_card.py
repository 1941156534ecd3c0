"""What the card of an export says of the person who exported it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from heretic_tui.behaviour import behaviour_of
from heretic_tui.engine.metrics.base import metrics_named
from heretic_tui.errors import UsageError
from heretic_tui.files import write_json
from heretic_tui.report.model_card import card_text
from heretic_tui.run.exports import ExportRecord, Overruled, ReviewedFigure, read_export
from heretic_tui.run.record import Round

GOLDEN = Path(__file__).parents[1] / "golden" / "version_1" / "reproduce.json"


@pytest.fixture
def record() -> ExportRecord:
    # Its settings are in the words of the version that wrote it; the card is written in those of today.
    found = read_export(GOLDEN)
    now = {"edit_method": "norm_preserving", "direction_method": "mean_difference", "judge": "markers"}
    return replace(found, settings={**now, **found.settings})


def test_the_note_is_quoted_and_is_no_markup(record: ExportRecord) -> None:
    assert "## Notes" not in card_text(record)
    card = card_text(replace(record, note="\nkeeps *style*\n\n# no heading\x1b[31m\n| a | b |\n"))
    notes = card[card.index("## Notes") : card.index("## Parameters")].splitlines()
    assert notes[4:] == [
        r"> keeps \*style\*  ", ">", r"> \# no heading\\x1b\[31m  ", r"> \| a \| b \|  ", "",
    ]  # fmt: skip


def test_overruled_verdicts_are_told_beside_what_was_measured(record: ExportRecord) -> None:
    measured, prompts = record.trial.figures["refusals"], record.trial.prompts
    found = Overruled(trial=3, base=0, broken=1, trial_refusals=2, base_refusals=100)
    card = card_text(replace(record, overruled=found))
    assert (
        f"overruled by hand: of the trial 3 verdicts, with which it refuses 2 of {prompts} in place of {measured} as "
        "measured. The table has what was measured.\n1 response of the trial made no usable text." in card
    )
    assert "original model 0" not in card
    card = card_text(replace(record, overruled=replace(found, trial=0, base=1, broken=0, base_refusals=99)))
    assert "overruled by hand: of the original model 1 verdict, with which it refuses 99 of" in card
    assert "usable" not in card


def test_notes_and_overruled_verdicts_are_read_back_within_bounds(record: ExportRecord, tmp_path: Path) -> None:
    said = replace(
        record, note="n" * 4000, overruled=Overruled(trial=1, base=0, broken=0, trial_refusals=1, base_refusals=9)
    )
    path = tmp_path / "reproduce.json"
    write_json(path, said.to_json())
    assert read_export(path) == said
    assert "note" not in record.to_json()
    assert "overruled" not in record.to_json()
    write_json(path, replace(said, note="n" * 4001).to_json())
    with pytest.raises(UsageError, match="'note' cannot be"):
        read_export(path)


def test_what_a_review_found_is_a_table_and_no_markup(record: ExportRecord, tmp_path: Path) -> None:
    assert "## Review" not in card_text(record)
    rows = (
        ReviewedFigure(
            check="Held-out", name="refused", base="9/9 (6–9)", trial="1/9 (0–4)", difference="beyond chance"
        ),
        ReviewedFigure(check="Held-out", name="a | b", base="", trial="2", difference=""),
        ReviewedFigure(check="Damage", name="KL", base="0", trial="0.1", difference="within chance"),
    )
    reviewed = replace(record, review=rows)
    card = card_text(reviewed)
    table = card[card.index("## Review") :].splitlines()
    table = table[table.index("|---|---|---|---|") + 1 :][:5]
    assert table == [
        "| **Held-out** | | | |",
        "| refused | 9/9 (6–9) | 1/9 (0–4) | beyond chance |",
        r"| a \| b |  | 2 |  |",
        "| **Damage** | | | |",
        "| KL | 0 | 0.1 | within chance |",
    ]
    write_json(tmp_path / "reproduce.json", reviewed.to_json())
    assert read_export(tmp_path / "reproduce.json") == reviewed


def test_the_card_of_another_behaviour_names_it_with_its_markers_and_speaks_of_no_refusal(record: ExportRecord) -> None:
    own = {"behaviour": "long answers: long / short", "refusal_markers": ["and you*", "\x1b[31m"]}
    figures = metrics_named(["kl_divergence", "refusals"], "contain a marker", 30, behaviour_of(own)).figures
    said = replace(record, settings={**record.settings, **own}, figures=figures)
    card = card_text(said)
    assert '**A behaviour of this model was deliberately reduced: "long answers".' in card
    assert 'It is "long" where one of these markers occurs in it: `and you*`, `\\x1b[31m`.' in card
    assert "Long answers: greedy responses to the bad evaluation prompts that contain a marker" in card
    text = card[: card.index("## Parameters")].lower()
    assert not re.search("refus|harm|abliterat|safeguard", text.replace("harm" + "less_alpaca", ""))
    assert "the mean residual of the bad prompts minus that of the good ones" in card
    earlier = Round(
        run="r-1", trial=3, parameters=record.parameters, directions="0" * 64, settings=record.settings, identity={},
        figures={"refusals": 2}, prompts=9, batch_size=8, response_prefix="",
    )  # fmt: skip
    both = card_text(replace(said, rounds=(earlier,)))
    assert "tags:\n- abliterated\n- steered" in both
    assert "In an earlier round:\n**The refusal behaviour of this model was deliberately reduced." in both
    assert "1. trial 3 of run r-1 (refusals 2/9). " in both, "in its own words"
    added = card_text(replace(said, settings={**said.settings, "steer": "add"}))
    assert "deliberately strengthened" in added
    assert "more of what is written along the direction" in added
    assert "more of what is written" not in both
    assert "steered" in added
    restored = card_text(replace(record, settings={**record.settings, "steer": "add"}))
    assert "The refusal behaviour of this model was deliberately strengthened" in restored
    assert "nothing was put in the place of that safeguard" not in restored

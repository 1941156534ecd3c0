"""`heretic-tui export`: several trials by one command, the person's text in the card, and what the status says."""

from __future__ import annotations

from pathlib import Path

from heretic_tui.run.card_text import END, keep_card_text
from heretic_tui.run.folder import find_runs
from tests.support.exports import Heretic, record_of, searched


def test_several_trials_each_with_its_folder_and_its_card(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    searched(heretic, tiny_folder, sets)
    (run,) = find_runs(tmp_path / "runs")
    keep_card_text(run, 1, "Kept for trial 1.\n")
    out = tmp_path / "mine-0"
    done = heretic("export", "model", "--trial", 0, "--trial", 99, "--trial", 1, out, "--as", "adapter", "--dora")
    assert done.status == 1, "one of them failed"
    assert "trial 99: trial 99 of" in done.err
    for number in (0, 1):
        folder = tmp_path / f"mine-{number}"
        assert record_of(folder)["trial"]["number"] == number
        assert f"{folder}: adapter, 1 weight files" in done.out
        card = (folder / "README.md").read_text()
        assert ("Kept for trial 1." in card) == (number == 1)
        assert "deliberately reduced" in card
    assert done.out.count("The files measure as the trial did (within ±1, ±5 %).") == 2
    for step in ("edit the weights", "write", "hashes and reproduce.json", "load what was written", "measure again"):
        assert done.err.count(f"{step}: ") == 2
    # A card that was written before is a text to begin with; what is no part of a person's is made again.
    before = (
        (tmp_path / "mine-1" / "README.md").read_text().replace(END, f"And more.\n{END}").replace("deliberately", "")
    )
    (tmp_path / "long.md").write_text("a" * 300_000)
    done = heretic("export", "model", "--trial", 0, tmp_path / "again", "--card", tmp_path / "long.md")
    assert done.status == 2
    assert "has more than 200,000 characters" in done.err
    (tmp_path / "card.md").write_text(before)
    done = heretic("export", "model", "--trial", 0, tmp_path / "again", "--card", tmp_path / "card.md")
    assert done.status == 0, done.err
    card = (tmp_path / "again" / "README.md").read_text()
    assert "Kept for trial 1.\n\nAnd more." in card
    assert "deliberately reduced" in card
    done = heretic("export", "model", "--trial", 0, tmp_path / "x", "--card", tmp_path / "none.md")
    assert done.status == 2
    assert "cannot read" in done.err
    assert not (tmp_path / "x").exists()

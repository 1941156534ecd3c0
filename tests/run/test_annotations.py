"""What people say of a run, in its folder: last word, damage, several writers."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.run.annotations import (
    LONGEST_NOTE,
    MOST_TAGS,
    Annotations,
    Mark,
    Note,
    Overruling,
    Tag,
    digest,
)
from heretic_tui.run.folder import RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    return folder


def read(folder: RunFolder) -> Annotations:
    annotations = Annotations(folder)
    annotations.refresh()
    return annotations


def overruling(prompt: str, text: str, verdict: str | None) -> Overruling:
    return Overruling(prompt=digest(prompt), text=digest(text), verdict=verdict)  # type: ignore[arg-type]


def test_what_was_said_is_read_back_and_the_last_word_counts(folder: RunFolder) -> None:
    said = Annotations(folder)
    said.say(Mark(trial=41, on=True), Mark(trial=7, on=True), Mark(trial=41, on=False), Mark(trial=41, on=True))
    said.say(
        Tag(trial=41, tag="style", on=True), Tag(trial=41, tag="mild", on=True), Tag(trial=41, tag="style", on=False)
    )
    said.say(Note(trial=41, note="one"), Note(trial=41, note="\nkeeps style\nchecked \x1b[31m by hand"))
    said.say(overruling("p", "r", "refused"), overruling("p", "r", "broken"), overruling("p", "other", "answered"))
    for found in (said, read(folder)):
        assert found.marks == [7, 41], "the one marked last at the end"
        assert (found.marked(41), found.marked(40)) == (True, False)
        assert found.tags(41) == ("mild",)
        assert found.note(41) == "\nkeeps style\nchecked \x1b[31m by hand"
        assert found.first_line(41) == "keeps style"
        assert found.verdict(digest("p"), digest("r")) == "broken"
        assert found.verdict(digest("p"), digest("whole"), digest("other")) == "answered"
        assert found.verdict(digest("q"), digest("r")) is None
    assert stat.S_IMODE(os.stat(folder.annotations).st_mode) == 0o600


def test_what_is_said_now_undoes_what_is_said_next(folder: RunFolder) -> None:
    said = Annotations(folder)
    said.say(Note(trial=1, note="before"), overruling("p", "r", "answered"))
    for word in (
        Mark(trial=1, on=True), Tag(trial=1, tag="x", on=True), Note(trial=1, note="after"), overruling("p", "r", None)
    ):  # fmt: skip
        undoes = said.present(word)
        said.say(word)
        assert said.present(word) == word
        said.say(undoes)
        assert read(folder).present(word) == undoes


def test_a_damaged_line_costs_that_line_and_is_told_once(folder: RunFolder) -> None:
    Annotations(folder).say(Mark(trial=1, on=True))
    wrong = [
        b"{",
        b'["mark"]',
        b'{"type": "mark", "trial": true, "on": true}',
        b'{"type": "mark", "trial": -1, "on": true}',
        b'{"type": "tag", "trial": 2, "tag": "two words", "on": true}',
        b'{"type": "verdict", "prompt": "p", "text": "r", "verdict": "refused"}',
        json.dumps({"type": "verdict", "prompt": digest("p"), "text": digest("r"), "verdict": "maybe"}).encode(),
        json.dumps({"type": "note", "trial": 1, "note": "n" * (LONGEST_NOTE + 1)}).encode(),
        b"\xff\xfe",
        b'{"type": "mark", "trial": 3, "on": true, "x": "' + b"x" * (1 << 16) + b'"}',
    ]
    with folder.annotations.open("ab") as file:
        file.write(b"\n".join(wrong) + b'\n{"type": "of a newer version", "trial": 2}\n')
    Annotations(folder).say(Mark(trial=2, on=True))
    found = read(folder)
    assert found.marks == [1, 2]
    (problem,) = found.problems
    assert f"line 2 and {len(wrong) - 1} more" in problem
    with folder.annotations.open("ab") as file:
        file.write(b"{\n")
    found.refresh()
    assert len(found.problems) == 1


def test_a_line_that_a_crash_cut_off_is_no_part_of_the_next(folder: RunFolder) -> None:
    seen = Annotations(folder)
    seen.say(Mark(trial=1, on=True))
    with folder.annotations.open("ab") as file:
        file.write(b'{"type": "note", "trial": 1, "note": "' + b"half a note" * 20)
    seen.refresh()
    Annotations(folder).say(Mark(trial=2, on=True))
    seen.refresh()
    for found in (seen, read(folder)):
        assert found.marks == [1, 2]
        assert not found.problems


def test_a_reader_follows_what_others_write(folder: RunFolder) -> None:
    reader = Annotations(folder)
    assert not reader.refresh()
    writer = Annotations(folder)
    writer.say(Mark(trial=1, on=True))
    assert reader.refresh()
    assert reader.marked(1)
    changes = reader.changes
    assert not reader.refresh()
    writer.say(Mark(trial=1, on=True))
    assert not reader.refresh(), "what was so before is no change"
    assert reader.changes == changes
    folder.annotations.unlink()
    assert reader.refresh()
    assert reader.marks == []


def test_a_file_put_in_the_place_of_another_is_read_from_its_beginning(folder: RunFolder, tmp_path: Path) -> None:
    reader = Annotations(folder)
    reader.say(Mark(trial=1, on=True))
    other = RunFolder(tmp_path / "other")
    other.create()
    Annotations(other).say(Mark(trial=2, on=True), Mark(trial=3, on=True))
    os.replace(other.annotations, folder.annotations)
    assert reader.refresh()
    assert reader.marks == [2, 3]


def _write(path: Path, trials: range) -> None:
    annotations = Annotations(RunFolder(path))
    for trial in trials:
        annotations.say(Mark(trial=trial, on=True), Note(trial=trial, note=f"note {trial} " * 50))


def test_processes_that_write_at_the_same_time_lose_nothing(folder: RunFolder) -> None:
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=_write, args=(folder.path, range(n, 120, 3))) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found = read(folder)
    assert sorted(found.marks) == list(range(120))
    assert all(found.note(trial).startswith(f"note {trial} ") for trial in range(120))
    assert not found.problems


def test_what_cannot_be_said_is_refused_and_nothing_of_it_is_written(folder: RunFolder) -> None:
    said = Annotations(folder)
    for tag in ("", "two words", "Upper", "x" * 25, "-dash", "a\nb"):
        with pytest.raises(UsageError, match="a tag is one word"):
            said.say(Mark(trial=1, on=True), Tag(trial=1, tag=tag, on=True))
    with pytest.raises(UsageError, match="at most 4,000 characters"):
        said.say(Note(trial=1, note="x" * (LONGEST_NOTE + 1)))
    assert not folder.annotations.exists()
    said.say(*(Tag(trial=1, tag=f"tag{n}", on=True) for n in range(MOST_TAGS)))
    with pytest.raises(UsageError, match="at most 12 tags"):
        said.say(Tag(trial=1, tag="more", on=True))
    said.say(Tag(trial=1, tag="tag0", on=True), Tag(trial=2, tag="more", on=True))
    with pytest.raises(UsageError, match="no run is open"):
        Annotations().say(Mark(trial=1, on=True))


def test_no_link_is_followed_and_no_pipe_is_waited_for(folder: RunFolder, tmp_path: Path) -> None:
    target = tmp_path / "of-the-user"
    target.write_text("mine\n")
    folder.annotations.symlink_to(target)
    with pytest.raises(HereticError, match="cannot write"):
        Annotations(folder).say(Mark(trial=1, on=True))
    assert target.read_text() == "mine\n"
    assert len(read(folder).problems) == 1
    folder.annotations.unlink()
    os.mkfifo(folder.annotations)
    with pytest.raises(HereticError, match="no regular file"):
        Annotations(folder).say(Mark(trial=1, on=True))
    (problem,) = read(folder).problems
    assert "no regular file" in problem

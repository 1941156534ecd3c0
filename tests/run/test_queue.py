"""The queue beside the runs: kept in order by any number of processes, worked off by one, and never lost for one bad
entry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.queue import GB, Ended, Entry, Queue, QueueFile, Start, Wait, kept_free, next_step, stop_time
from heretic_tui.run.record import RunRecord


def filled(runs_dir: Path, *models: str) -> QueueFile:
    file = QueueFile(runs_dir)
    for model in models:
        file.add({"model": model, "n_trials": 7})
    return file


def models(file: QueueFile) -> list[str]:
    return [entry.model for entry in file.read().entries]


def test_runs_are_added_moved_and_removed_and_no_number_comes_twice(tmp_path: Path) -> None:
    file = filled(tmp_path / "not made yet", "a", "b", "c")
    assert [entry.id for entry in file.read().entries] == [1, 2, 3]
    file.move(3, -2)
    assert models(file) == ["c", "a", "b"]
    file.move(3, -5)
    file.move(1, 99)
    assert models(file) == ["c", "b", "a"]
    assert [entry.model for entry in file.remove(3, 77)] == ["c"]
    assert file.add({"model": "d"}).id == 4
    file.remove(4)
    assert file.add({"model": "e"}).id == 5
    assert [file.read().place(entry) for entry in (2, 1, 5, 9)] == [1, 2, 3, None]


def test_one_that_failed_stays_in_the_list_and_the_next_has_its_turn(tmp_path: Path) -> None:
    file = filled(tmp_path, "a", "b")
    file.fail(1, "no memory")
    queue = file.read()
    assert next_step(queue, 0, None, None) == Start(queue.entries[1])
    assert (queue.entries[0].problem, queue.place(1), queue.place(2)) == ("no memory", None, 1)
    file.retry(1)
    assert file.read().waiting[0].id == 1


def test_what_comes_next() -> None:
    a = Entry(id=1, settings={"model": "a"})
    assert isinstance(next_step(Queue(), 0, None, None), Ended)
    assert isinstance(next_step(Queue(entries=(Entry(id=1, problem="x"),)), 0, None, None), Ended)
    assert next_step(Queue(entries=(a,)), 0, None, None) == Start(a)
    assert next_step(Queue(entries=(a,)), 0, None, "other") == Wait("waits for the end of other")
    until = Queue(entries=(a,), stop_at=100.0)
    assert [type(next_step(until, now, None, None)) for now in (99.9, 100, 101)] == [Start, Ended, Ended]
    free = Queue(entries=(a,), keep_free=20 * GB)
    assert [type(next_step(free, 0, bytes_free, None)) for bytes_free in (None, int(20e9), int(19e9))] == [
        Start, Start, Ended,
    ]  # fmt: skip
    ended = next_step(free, 0, int(19e9), None)
    assert ended == Ended("19 GB are free on the disk of the runs: none starts below 20 GB")


def test_a_damaged_entry_costs_none_of_the_others(tmp_path: Path) -> None:
    file = filled(tmp_path, "a", "b")
    content = json.loads(file.path.read_text())
    content["entries"] = [
        17,
        content["entries"][0],
        {"id": -1},
        content["entries"][0],
        content["entries"][1],
        {"id": 9, "added": 1e300},
    ]
    content["newer"] = True
    file.path.write_text(json.dumps(content))
    queue = file.read()
    assert [entry.model for entry in queue.waiting] == ["a", "b"]
    assert len(queue.entries) == len({entry.id for entry in queue.entries}) == 6
    file.add({"model": "c"})
    assert [entry.model for entry in file.read().waiting] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"entries": 3}', '{"entries": [], "stop_at": "soon"}', '{"entries": [], "stop_at": 1e300}', "\0"],
)
def test_a_file_that_is_no_queue_is_one_line_and_is_not_written_over(tmp_path: Path, content: str) -> None:
    file = QueueFile(tmp_path)
    file.path.write_text(content)
    with pytest.raises(UsageError, match=r"queue\.json"):
        file.read()
    with pytest.raises(UsageError):
        file.add({"model": "a"})
    assert file.path.read_text() == content


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HereticError, match="cannot write to the runs folder"):
        QueueFile(tmp_path / "file" / "runs").add({})
    (tmp_path / "queue.lock").symlink_to("/etc/passwd")
    with pytest.raises(HereticError, match="cannot write to the runs folder"):
        QueueFile(tmp_path).add({})


def test_many_processes_may_add_at_once_and_one_alone_works_it_off(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from heretic_tui.run.queue import QueueFile\n"
        f"file = QueueFile(Path({str(tmp_path)!r}))\n"
        "for number in range(8): file.add({'model': f'{sys.argv[1]}-{number}'})"
    )
    adding = [subprocess.Popen([sys.executable, "-c", code, str(number)]) for number in range(4)]
    assert [process.wait() for process in adding] == [0] * 4
    file = QueueFile(tmp_path)
    assert sorted(models(file)) == sorted(f"{p}-{n}" for p in range(4) for n in range(8))
    assert file.worker() is None
    with file.working():
        assert file.worker() == os.getpid()
        with pytest.raises(UsageError, match=f"process {os.getpid()} works this queue off already"), file.working():
            pass
    assert file.worker() is None


def test_the_run_that_another_process_is_at_work_on_is_known(tmp_path: Path) -> None:
    file = filled(tmp_path, "a")
    run = RunFolder(tmp_path / "other")
    run.create()
    run.save_record(RunRecord(model="other"))
    assert file.run_at_work() is None
    run.lock()
    assert file.run_at_work() == "other"
    run.unlock()


def test_stop_times_and_limits_are_read_as_people_write_them() -> None:
    now = datetime(2026, 3, 5, 22, 0).timestamp()

    def at(*when: int) -> float:
        return datetime(*when).timestamp()  # type: ignore[arg-type]

    assert stop_time("23:30", now) == at(2026, 3, 5, 23, 30)
    assert stop_time("07:00", now) == at(2026, 3, 6, 7, 0)
    assert stop_time("2026-03-08", now) == at(2026, 3, 8)
    assert stop_time("2026-03-08 06:30", now) == at(2026, 3, 8, 6, 30)
    assert stop_time("never", now) is None
    for wrong in ("7", "25:00", "tomorrow", "2026-03-05", "0001-01-01", "9999-12-31", ""):
        with pytest.raises(UsageError):
            stop_time(wrong, now)
    assert kept_free("20") == 20 * GB
    for wrong in ("-1", "nan", "inf", "much"):
        with pytest.raises(UsageError):
            kept_free(wrong)

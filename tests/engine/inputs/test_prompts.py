"""Prompt sets: every kind of source, slices, and one clear line for whatever is wrong."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heretic_tui.engine.inputs.prompts import Prompt, PromptList, check_sets, digest, load_prompt_set, whole_kept
from heretic_tui.errors import UsageError
from heretic_tui.settings.prompt_sets import KEPT_SET, PromptSet

ROWS = [f"prompt {i}" for i in range(10)]


def texts(dataset: Path | str, **parts: str | None) -> list[str]:
    spec = PromptSet(dataset=str(dataset), **parts)
    return [prompt.text for prompt in load_prompt_set(spec, "good_prompts", "Be kind.").prompts]


def sources(folder: Path) -> dict[str, tuple[Path, str | None]]:
    """The same ten prompts in every kind of file, with the column to name."""
    table = datasets.Dataset.from_dict({"text": ROWS, "label": list(range(10))})
    files = {name: folder / f"p.{name}" for name in ("txt", "json", "jsonl", "csv", "parquet")}
    files["txt"].write_text("\n".join(ROWS) + "\n\n", encoding="utf-8")
    files["json"].write_text(json.dumps([{"text": row, "label": 1} for row in ROWS]))
    files["jsonl"].write_text("\n".join(json.dumps({"text": row, "label": 1}) for row in ROWS))
    table.to_csv(str(files["csv"]), index=False)
    table.to_parquet(str(files["parquet"]))
    table.save_to_disk(str(folder / "saved"))
    datasets.DatasetDict({"train": table, "test": table.select(range(3))}).save_to_disk(str(folder / "splits"))
    (folder / "plain").mkdir()
    table.to_parquet(str(folder / "plain" / "train.parquet"))
    found: dict[str, tuple[Path, str | None]] = {name: (path, None) for name, path in files.items()}
    found["saved"] = (folder / "saved", None)
    found["splits"] = (folder / "splits", "train")
    found["plain"] = (folder / "plain", "train")
    return found


def test_every_kind_of_source_gives_the_same_prompts(tmp_path: Path) -> None:
    for name, (path, split) in sources(tmp_path).items():
        assert texts(path, split=split) == ROWS, name
        assert texts(path, split=f"{split or ''}[2:5]") == ROWS[2:5], name
        assert texts(path, split=f"{split or ''}[:20%]") == ROWS[:2], name
        if name != "txt":
            with pytest.raises(UsageError, match=r"no column 'prompt'; there are text, label"):
                texts(path, split=split, column="prompt")


def test_a_file_has_the_split_train_alone(tmp_path: Path) -> None:
    path, _ = sources(tmp_path)["txt"]
    assert texts(path, split="train[:3]") == ROWS[:3]
    with pytest.raises(UsageError, match="one split, train, and no 'test'"):
        texts(path, split="test")
    with pytest.raises(UsageError, match="no split 'valid'; there are train, test"):
        texts(tmp_path / "splits", split="valid")
    with pytest.raises(UsageError, match="name the split; there are train, test"):
        texts(tmp_path / "splits")
    with pytest.raises(UsageError, match=r"'\[a:b\]' is no split"):
        texts(path, split="[a:b]")
    with pytest.raises(UsageError, match=r"'\[:200%\]' goes beyond 100%"):
        texts(path, split="[:200%]")


def test_prefix_suffix_and_system_prompt(tmp_path: Path) -> None:
    path, _ = sources(tmp_path)["txt"]
    spec = PromptSet(dataset=str(path), split="[:1]", prefix="<", suffix=">")
    assert load_prompt_set(spec, "x", "Be kind.").prompts == [Prompt("<prompt 0>", "Be kind.")]
    own = spec.model_copy(update={"system_prompt": ""})
    assert load_prompt_set(own, "x", "Be kind.").prompts == [Prompt("<prompt 0>", "")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.txt", b"one\ntwo\0\n", "a NUL byte in line 2: this is no text file"),
        ("p.txt", "na\u00efve\ncaf\u00e9".encode("latin-1"), "not UTF-8 at line 1 (byte 2)"),
        ("p.txt", b"\n \n", "the file is empty"),
        ("p.jsonl", b'{"text": "a"}\n{"text": ', "line 2 is not valid JSON"),
        ("p.json", b"{", "not valid JSON"),
        ("p.json", b'[{"text": 4}]', "row 1 of column 'text' is no text but '4'"),
        ("p.csv", b"a,b\n1,2\n", "which column holds the prompts? There are a, b"),
        ("p.parquet", b"PAR", "cannot be read as parquet"),
        ("p.doc", b"x", "files that can be read are .txt, .json"),
    ],
)
def test_a_bad_file_is_told_in_one_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        texts(path)
    assert said in str(caught.value)
    assert f"good_prompts: {path}" in str(caught.value)
    assert "\n" not in str(caught.value)


def said_of(path: Path, column: str | None = None) -> tuple[list[str], str]:
    loaded = load_prompt_set(PromptSet(dataset=str(path), column=column), "bad_prompts", "")
    return [prompt.text for prompt in loaded.prompts], " / ".join(loaded.notes)


TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "one?"},
    {"role": "assistant", "content": "two."},
    {"role": "user", "content": "three?"},
]
SHARED = [{"from": "human", "value": "one?"}, {"from": "gpt", "value": "two."}]
PARTS = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}]
BIG = "word " * 40_000
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n"


@pytest.mark.parametrize(
    ("name", "content", "column", "expected", "note"),
    [
        # Delimiters
        ("p.csv", "text;label\nHow, then?;1\nAnd, so?;1\n", None, ["How, then?", "And, so?"], ""),
        ("p.csv", "text\tlabel\nHow; then?\t1\nAnd so?\t1\n", None, ["How; then?", "And so?"], ""),
        ("p.csv", "label|text\n1|How, then?\n1|And so?\n", None, ["How, then?", "And so?"], ""),
        ("p.csv", "sep=;\r\ntext;label\r\na;1\r\n", None, ["a"], ""),
        ("p.csv", 'text,label\n"one; ""two"", three\nfour",1\nfive,2\n', None, ['one; "two", three\nfour', "five"], ""),
        ("p.csv", 'label, text\n1, "one, two"\n2, three\n', None, ["one, two", "three"], ""),
        ("p.csv", "text\nHow; then?\nAnd so?\n", None, ["How; then?", "And so?"], ""),
        # Headers
        ("p.csv", "How do I bake?\nAnd brew?\n", None, ["How do I bake?", "And brew?"], "there is no header"),
        ("p.csv", "How do I bake?;1\nAnd brew?;1\n", "1", ["How do I bake?", "And brew?"], "there is no header"),
        ("p.csv", "potions\nbread\n", None, ["bread"], "'potions', was taken for the header"),
        ("p.csv", "\ufefftext , label\na,1\n", None, ["a"], ""),
        ("p.csv", ",my text\n0,a\n1,b\n", "my text", ["a", "b"], ""),
        # Rows
        ("p.csv", f"text,response\na,{BIG}\nb,c\n", None, ["a", "b"], ""),
        ("p.csv", "text,label\r1,2\r3,4\r", None, ["1", "3"], "nothing but numbers in column 'text'"),
        ("p.csv", "text,label\na,1,,\nb\n", None, ["a", "b"], ""),
        ("p.csv", "label,text\n1,a\n2,\n3\n4,d\n", None, ["a", "d"], "2 of 4 rows are empty, left out: rows 2, 3"),
        ("p.txt", "one\rtwo\rthree\r", None, ["one", "two", "three"], ""),
        ("p.txt", "one\r\n\r\ntwo\rthree\n", None, ["one", "two", "three"], ""),
        # JSON
        ("p.json", '{"text": "a"}\n{"text": "b"}\n', None, ["a", "b"], ""),
        ("p.json", '["a", null, "b"]', None, ["a", "b"], "1 of 3 rows are empty, left out: row 2"),
        ("p.jsonl", '{"text": "a"}\n\n{"label": 1}\n', None, ["a"], "1 of 2 rows are empty, left out: row 2"),
        ("p.jsonl", '[{"text": "a"},\n {"text": "b"}]', None, ["a", "b"], ""),
        ("p.jsonl", '["a", "b"]', None, ["a", "b"], ""),
        ("p.jsonl", '{"data": [\n{"text": "a"}]}', None, ["a"], ""),
        ("p.json", '{"version": "1", "data": [{"text": "a"}]}', None, ["a"], ""),
        ("p.json", '{"test": [{"text": "a"}]}', None, ["a"], ""),
        ("p.json", '{"train": {"text": ["a", "b"]}, "test": {"text": ["c"]}}', None, ["a", "b"], ""),
        ("p.json", '{"text": {"0": "a", "1": "b"}, "label": {"0": 1, "1": 2}}', None, ["a", "b"], ""),
        ("p.json", '[{"instruction": "a", "input": "b"}]', "instruction", ["a"], "'input' goes on where 'instruction'"),
        # Other rows
        ("p.tsv", "text\tlabel\nHow, then?\t1\n", None, ["How, then?"], ""),
        ("p.txt", "\ufeffone\n\ufefftwo\n\ufeff\n", None, ["one", "two"], ""),
        ("p.txt", "prompt\none\n", None, ["prompt", "one"], "is it a header?"),
        ("p.txt", "{name}, who are you?\n[1] What?\n", None, ["{name}, who are you?", "[1] What?"], ""),
        ("p.csv", "text,label\na,1\ntext,label\nb,2\n", None, ["a", "b"], "the header comes again in 1 row"),
        ("p.csv", "text\na\nNaN\n", None, ["a", "NaN"], "'NaN' is all that stands in row 2"),
        ("p.csv", "text,label\na,1\nb,0\n", "label", ["1", "0"], "nothing but numbers in column 'label'"),
        # Conversations
        ("p.json", json.dumps([{"messages": TALK}]), None, ["three?"], "the last user turn of each is read"),
        ("p.json", json.dumps([{"id": 1, "conversations": SHARED}]), "conversations", ["one?"], "holds conversations"),
        ("p.json", json.dumps([TALK, SHARED, PARTS]), None, ["three?", "one?", "a\nb"], "holds conversations"),
        ("p.json", json.dumps([TALK, TALK[:1]]), None, ["three?"], "1 of 2 rows are empty, left out: row 2"),
        (
            "p.csv",
            'messages\n"' + json.dumps(TALK).replace('"', '""') + '"\n',
            None,
            ["three?"],
            "holds conversations",
        ),
    ],
    ids=range(41),
)
def test_files_as_people_have_them(
    tmp_path: Path, name: str, content: str, column: str | None, expected: list[str], note: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode())
    found, notes = said_of(path, column)
    assert found == expected
    assert note in notes
    assert bool(note) == bool(notes)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.csv", b"a;b\nfoo;1\n", "which column holds the prompts? There are a, b"),
        ("p.csv", b"How do I bake?;1\nAnd brew?;1\n", "there is no header (the first row looks like a prompt)"),
        ("p.csv", b"text\nHow, then?\n", "line 2 has 2 cells where the first has 1"),
        ("p.csv", b'text,label\na,1\n"b\nc,2\nd,3\n', "line 3: a quote is opened here and never closed"),
        ("p.csv", b'text,label\na,1\n"b" c,2\n', "line 3: a cell in quotes goes on after them"),
        ("p.csv", b"text,text\na,b\n", "two columns are called 'text'"),
        ("p.csv", "text\nna\u00efve\n".encode("utf-16"), "this looks like UTF-16: convert it first"),
        ("p.txt", "plain words\n".encode("utf-16-le"), "this looks like UTF-16"),
        ("p.csv", b"messages\n\"[{'role': 'user', 'content': 'a'}]\"\n", "conversations written as Python lists"),
        ("p.json", b"[" * 100_000, "is nested too deeply to be read"),
        ("p.jsonl", b'"a"\n' + b'{"a":' * 100_000, "line 2 is nested too deeply to be read"),
        ("p.json", b"[" + b"9" * 5000 + b"]", "not valid JSON"),
        ("p.json", b'[{"text": "a"}, {"text": ["b", "c"]}]', "column 'text' holds lists, no texts (row 2: ['b', 'c'])"),
        ("p.json", b'[{"goal": {"x": 1}}]', "column 'goal' holds objects, no texts (row 1:"),
        (
            "p.json",
            b'[{"text": "a"}, {"text": "cut \\ud83d"}]',
            r"row 2 of column 'text' holds half a character (\ud83d",
        ),
        ("p.jsonl", b'{"text": "\\ude00"}', r"row 1 of column 'text' holds half a character (\ude00"),
        ("p.json", b'["a", {"text": "b"}]', "either strings or objects throughout, and row 1 is 'a'"),
        ("p.parquet", b"PAR1" + b"\0" * 400 + b"PAR1", "cannot be read as parquet"),
        ("p.csv", f"text\na\n{BIG}\n".encode(), "row 2 of column 'text' has 200,000 characters"),
        ("p.json", b'{"test": [{"text": "a"}], "other": [{"text": "b"}]}', "name the split; there are test, other"),
        ("p.jsonl", b'{"text": "a"}\n{"text": "b"},\n', "line 2 is not valid JSON: Extra data at column 14"),
        ("p.jsonl", b'{"test": [{"text": "a"}],\n "other": [{"text": "b"}]}', "name the split; there are test, other"),
        # What it is called is not what it is
        *((f"p.{kind}", LFS, "only a pointer to the file (Git LFS)") for kind in ("txt", "csv", "jsonl", "parquet")),
        ("p.txt", b"\n<!DOCTYPE html>\n<title>x</title>\n", "this is a web page, not the file itself"),
        ("p.csv", b"PAR1\x15\x04", "this is parquet: call it .parquet"),
        ("p.csv", b"PK\x03\x04\0\0", "an Excel sheet"),
        ("p.jsonl", b"\x1f\x8b\x08", "compressed (gzip)"),
        ("p.txt", b'{"text": "a"}\n{"text": "b"}\n', "its lines are JSON: call it .jsonl"),
        ("p.csv", b'{"text": "a"}\n{"text": "b"}\n', "its lines are JSON: call it .jsonl"),
        ("p.txt", b'[\n"a",\n"b"\n]\n', "this is JSON: call it .json"),
        ("p.txt", b"prompt;label\na;1\n", "its first line names columns ('prompt;label'): call it .csv"),
    ],
    ids=range(34),
)
def test_what_is_wrong_with_a_file_is_told_with_its_place(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        texts(path)
    assert str(caught.value).startswith(f"good_prompts: {path}")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_a_slice_counts_empty_rows(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("label,text\n" + "".join(f"{i},{'' if i % 2 else f'p{i}'}\n" for i in range(30)))
    loaded = load_prompt_set(PromptSet(dataset=str(path), split="[2:28]"), "bad_prompts", "")
    assert [p.text for p in loaded.prompts] == [f"p{i}" for i in range(2, 28, 2)]
    assert loaded.notes == [
        "bad_prompts: 13 of 26 rows are empty, left out, and counted by the slice: "
        "rows 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, …"
    ]


def test_what_lies_beside_the_prompts_in_a_parquet_file_is_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    beyond = pa.array([2**62, -(2**62)], pa.timestamp("us"))
    pq.write_table(pa.table({"text": ["a", "b"], "when": beyond}), path)
    assert texts(path) == ["a", "b"]
    with pytest.raises(UsageError, match="column 'when' cannot be read"):
        texts(path, column="when")
    pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), path)
    with pytest.raises(UsageError, match="two columns are called 'text'"):
        texts(path)


def test_a_folder_with_files_of_two_kinds_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("one\n")
    (tmp_path / "data" / "b.jsonl").write_text('{"text": "two"}\n')
    found, notes = said_of(tmp_path / "data")
    assert found == ["two"]
    assert "the folder holds .jsonl and .txt, of which one kind is read" in notes


def test_a_dataset_folder_whose_loader_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.json").write_text("[" * 50_000)
    with pytest.raises(UsageError, match="cannot be read as a dataset: "):
        texts(folder)

    def fail(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(UsageError, match="cannot be read as a dataset: nested too deeply"):
        texts(folder)
    (folder / "train.json").unlink()
    (folder / "train.csv").write_text("text;label\na;1\nb;1\n")
    monkeypatch.undo()
    with pytest.raises(UsageError, match="the delimiter was not found out; name the file itself"):
        texts(folder)


@pytest.mark.parametrize("dataset", ["~nobody/p.txt", "x" * 5000, "a\0b", "", "/dev/null", "p/q/r"])
def test_what_is_no_path_is_said(dataset: str) -> None:
    with pytest.raises(UsageError) as caught:
        texts(dataset)
    assert str(caught.value).startswith("good_prompts: ")
    assert len(str(caught.value)) < 300


def test_a_path_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        texts(tmp_path / "none.txt")


def test_fewer_prompts_than_asked_is_noted(tmp_path: Path) -> None:
    path, _ = sources(tmp_path)["txt"]
    loaded = load_prompt_set(PromptSet(dataset=str(path), split="[:400]"), "bad_prompts", "")
    assert len(loaded.prompts) == 10
    assert loaded.notes == ["bad_prompts: only 10 prompts where [:400] asks for 400"]
    with pytest.raises(UsageError, match=r"no prompts in it at \[20:30\]"):
        texts(path, split="[20:30]")


def listed(*names: str) -> PromptList:
    return PromptList([Prompt(name, "") for name in names])


def test_direction_prompts_lose_duplicates_and_what_is_evaluated_on() -> None:
    many = [f"g{i}" for i in range(9)]
    sets = {
        "good_prompts": listed(*many, "g1", "e1"),
        "bad_prompts": listed(*(f"b{i}" for i in range(9))),
        "good_evaluation_prompts": listed("e1", "e2", "e2"),
        "bad_evaluation_prompts": listed("x"),
    }
    checked, notes = check_sets(sets)
    assert [p.text for p in checked["good_prompts"].prompts] == many
    assert len(checked["good_evaluation_prompts"].prompts) == 3
    assert len(notes) == 3
    assert any("good_prompts: 1 duplicate left out" in note for note in notes)
    assert any("'e1'" in note for note in notes)
    assert digest(checked) != digest(sets)


def test_prompts_to_keep_may_lie_in_a_file_of_any_name() -> None:
    kept = KEPT_SET + "evaluation.txt"
    checked, _ = check_sets(
        {
            "good_prompts": listed("k1", *(f"g{i}" for i in range(9))),
            "good_evaluation_prompts": listed("e1"),
            kept: listed("k1", "k2", "k2", "e1"),
        }
    )
    assert [p.text for p in checked[kept].prompts] == ["k1", "k2"], "they are none of the evaluation prompts"
    with pytest.raises(UsageError, match=r"evaluation\.txt holds the prompts of good_prompts: there is nothing in it"):
        check_sets({"good_prompts": listed("a", "b"), kept: listed("b", "a")})
    assert len(checked["good_prompts"].prompts) == 10


def test_prompts_that_differ_by_blanks_case_or_unicode_are_the_same() -> None:
    others = [f"g{i}" for i in range(9)]
    sets = {
        "good_prompts": listed(*others, "How do I  bake?", "HOW DO I BREW?", "cafe\u0301 ﬁne"),
        "good_evaluation_prompts": listed("how do i bake?", "How do I brew? ", "Caf\u00e9 fine"),
    }
    checked, notes = check_sets(sets)
    assert [p.text for p in checked["good_prompts"].prompts] == others
    assert notes == [
        "good_prompts: 3 prompts left out because the evaluation sets hold the same, but for blanks and case "
        "(the first: 'How do I  bake?')"
    ]


def test_good_prompts_among_the_bad_are_told() -> None:
    good, bad = [f"g{i}" for i in range(9)], [f"b{i}" for i in range(9)]
    sets = {
        "good_prompts": listed(*good),
        "bad_prompts": listed(*bad, "G1", "g2 "),
        "good_evaluation_prompts": listed("x", "y"),
        "bad_evaluation_prompts": listed("Y", "z"),
    }
    checked, (first, second) = check_sets(sets)
    assert first.startswith("bad_prompts: 2 prompts occur in good_prompts too")
    assert "'G1'" in first
    assert second.startswith("bad_evaluation_prompts: 1 prompt occurs in good_evaluation_prompts too")
    assert len(checked["bad_prompts"].prompts) == 11, "they are told, and stay"


def test_sets_without_a_difference_are_refused() -> None:
    sets = {"good_prompts": listed("a", "b"), "bad_prompts": listed("b", "a")}
    with pytest.raises(UsageError, match="hold the same prompts"):
        check_sets(sets)
    with pytest.raises(UsageError, match="none is left"):
        check_sets({"good_prompts": listed("a"), "good_evaluation_prompts": listed("a")})


def test_what_prompts_to_keep_are_called_and_their_order_is_no_part_of_a_run(tmp_path: Path) -> None:
    one, other, good = listed("k1"), listed("k2", "k3"), listed("g")
    found = digest({"good_prompts": good, KEPT_SET + "a.txt": one, KEPT_SET + "b.txt": other})
    assert digest({KEPT_SET + "/x/c.txt": other, "good_prompts": good, KEPT_SET + "d.txt": one}) == found
    assert digest({"good_prompts": good, KEPT_SET + "a.txt": one}) != found
    assert digest({"good_prompts": good}) != digest({"good_prompts": good, KEPT_SET + "a.txt": one})
    # Files have their absolute paths, also where a sign is a part of their names.
    for name in ("maths.txt", "c#.txt"):
        (tmp_path / name).write_text("k1\n")
    with contextlib.chdir(tmp_path):
        found_names = [whole_kept(text) for text in ("maths.txt", "maths.txt#[:5]", "c#.txt", "org/code#train[:9]")]
    assert found_names == [
        str(tmp_path / "maths.txt"), f"{tmp_path / 'maths.txt'}#[:5]", str(tmp_path / "c#.txt"), "org/code#train[:9]",
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"keep_prompts: none\.txt: no such file or folder"):
        whole_kept("none.txt")

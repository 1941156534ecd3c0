"""Prompt sets: every kind of source, slices, and one clear line for whatever is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest

from heretic_tui.engine.prompts import Prompt, PromptList, check_sets, digest, load_prompt_set
from heretic_tui.errors import UsageError
from heretic_tui.settings import PromptSet

ROWS = [f"prompt {i}" for i in range(10)]


def texts(dataset: Path | str, **parts: str | None) -> list[str]:
    spec = PromptSet(dataset=str(dataset), **parts)  # type: ignore[arg-type]
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
        ("p.jsonl", b'{"text": "a"}\n{"text": ', "line 2 is not JSON"),
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
    assert any("1 duplicates were left out" in note for note in notes)
    assert any("'e1'" in note for note in notes)
    assert digest(checked) != digest(sets)


def test_sets_without_a_difference_are_refused() -> None:
    sets = {"good_prompts": listed("a", "b"), "bad_prompts": listed("b", "a")}
    with pytest.raises(UsageError, match="hold the same prompts"):
        check_sets(sets)
    with pytest.raises(UsageError, match="none is left"):
        check_sets({"good_prompts": listed("a"), "good_evaluation_prompts": listed("a")})

"""Model folders as people have them: what is wrong is said in a line that names it, and nothing else is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support import tiny_models
from tests.support.commands import Ended
from tests.support.model_folders import DOWN, configure, refused, rewrite, sharded

Heretic = Callable[..., Ended]
MARK = "\ufeff".encode()


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_folder, tmp_path / "model")


def changed(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.json", MARK + b"{}", "begins with a byte order mark"),
        ("config.json", '{"a": 1}'.encode("utf-16"), "begins with a byte order mark"),
        ("config.json", b'{"a": 1,}', "is not valid JSON: "),
        ("config.json", b"[]", "holds no JSON object"),
        ("tokenizer.json", MARK + b"{}", "begins with a byte order mark"),
        ("tokenizer_config.json", MARK + b"{}", "begins with a byte order mark"),
        # transformers would go on without these, and with other tokens that end a response.
        ("generation_config.json", MARK + b"{}", "begins with a byte order mark"),
        ("generation_config.json", b"", "is not valid JSON: "),
        ("generation_config.json", b'{"eos_token_id": "<|end|>"}', "'<|end|>', which is no token's number"),
        ("generation_config.json", b'{"eos_token_id": [256, 1.5]}', "'1.5', which is no token's number"),
        ("generation_config.json", b'{"early_stopping": "maybe"}', "cannot be used: `early_stopping` must be"),
    ],
)
def test_json_files_that_libraries_stumble_over(
    heretic: Heretic, copy: Path, file: str, content: bytes, said: str
) -> None:
    (copy / file).write_bytes(content)
    refused(heretic("inspect", copy, runs_dir=None), f"{copy / file}", said)


def test_values_of_the_configuration_that_cannot_be(heretic: Heretic, copy: Path) -> None:
    original = (copy / "config.json").read_text()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"dtype": "bfloat17"}, "names 'bfloat17' as dtype, which is no dtype of torch"),
        ({"torch_dtype": "torch.bfloat16"}, "names 'torch.bfloat16' as torch_dtype"),
        ({"dtype": 16}, "names '16' as dtype"),
        ({"eos_token_id": "256"}, "eos_token_id of config.json cannot be '256'"),
        ({"rope_scaling": "yarn", "rope_parameters": None}, "of config.json cannot be 'yarn'"),
        ({"hidden_size": "32"}, "hidden_size of config.json has to be of type int, and is '32'"),
        ({"num_attention_heads": 5}, "config.json contradicts itself: The hidden size (32) is not a multiple"),
        ({"attn_implementation": "flash_attention_2"}, "take attn_implementation out of config.json"),
    ]
    for changes, said in cases:
        (copy / "config.json").write_text(original)
        configure(copy, **changes)
        refused(heretic("inspect", copy, runs_dir=None), said)


def test_weights_that_are_no_numbers_or_nothing_but_zeros(heretic: Heretic, copy: Path, sets: list[str]) -> None:
    original = load_file(copy / "model.safetensors")
    embedding = "model.embed_tokens.weight"

    def with_value(name: str, row: int, value: float) -> None:
        tensors = {key: tensor.clone() for key, tensor in original.items()}
        tensors[name][row] = value
        rewrite(copy, lambda _: tensors)

    def last_line() -> str:
        done = heretic("score", copy, *sets, runs_dir=None)
        assert done.status == 2, done.err
        return done.err.strip().splitlines()[-1]

    with_value(DOWN, 0, float("inf"))
    assert f"no number (NaN or infinity), in {DOWN}: they were damaged" in last_line()
    # A token that prompts have, and the one-token test has not.
    with_value(embedding, tiny_models.tokenizer().encode("b")[0], float("nan"))
    assert f"no number (NaN or infinity), in {embedding}" in last_line()
    rewrite(copy, lambda _: {n: t * 0 if ".layers.2." in n else t for n, t in original.items()})
    assert "nothing but zeros in layer 2: their file is not whole" in last_line()
    # Layers that were added by hand begin so, and are none the worse for it.
    rewrite(copy, lambda _: {n: t * 0 if n == DOWN else t for n, t in original.items()})
    assert heretic("score", copy, *sets, runs_dir=None).status == 0


def test_a_tensor_in_two_files(heretic: Heretic, copy: Path) -> None:
    where = sharded(copy)
    name = next(name for name, file in where.items() if file.startswith("model-00001"))
    second = copy / "model-00002-of-00002.safetensors"
    first, rest = load_file(copy / where[name]), load_file(second)
    save_file({**rest, name: first[name].clone()}, second, metadata={"format": "pt"})
    assert heretic("inspect", copy, runs_dir=None).status == 0
    save_file({**rest, name: first[name] + 1}, second, metadata={"format": "pt"})
    refused(heretic("inspect", copy, runs_dir=None), name, "in two weight files, with other values in each")


def test_templates_that_differ_and_responses_that_nothing_ends(heretic: Heretic, copy: Path, sets: list[str]) -> None:
    changed(copy / "tokenizer_config.json", chat_template=tiny_models.TEMPLATE)
    assert "another chat template" not in heretic("score", copy, *sets, runs_dir=None).err
    changed(copy / "tokenizer_config.json", chat_template="{{ messages }}", eos_token=None)
    configure(copy, eos_token_id=None)
    changed(copy / "generation_config.json", eos_token_id=99_999)
    done = heretic("score", copy, *sets, runs_dir=None)
    assert done.status == 0
    assert "tokenizer_config.json holds another chat template than chat_template.jinja, which is the one" in done.err
    assert "no token ends a response" in done.err
    (copy / "chat_template.jinja").write_bytes(MARK + tiny_models.TEMPLATE.encode())
    refused(heretic("score", copy, *sets, runs_dir=None), "chat template begins with a byte order mark")


def test_what_lies_beside_a_model_on_the_hub_is_no_part_of_it(heretic: Heretic, copy: Path, sets: list[str]) -> None:
    for name in (".gitattributes", "README.md", "LICENSE", "merges.txt", "tf_model.h5", "._config.json", "logo.png"):
        (copy / name).write_bytes(b"\0\x05 of no model")
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"step": 1}, copy / name)
    for name in ("original", "onnx", ".cache", "checkpoint-10"):
        (copy / name).mkdir()
        (copy / name / "model.safetensors").write_bytes(b"of another model")
    (copy / "added_tokens.json").write_text(json.dumps({"<|end|>": 256, "<|pad|>": 260}))
    (copy / "special_tokens_map.json").write_text(json.dumps({"eos_token": {"content": "<|end|>"}}))
    changed(copy / "generation_config.json", temperature=0.6, top_k=-1, eos_token_id=[256, 257], foo={"a": 1})
    done = heretic("score", copy, *sets, runs_dir=None)
    assert done.status == 0, done.err


def test_where_an_export_cannot_lie_is_said_before_anything_is_loaded(
    heretic: Heretic, tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    assert heretic("run", tiny_folder, *sets, "--n-trials", "1").status == 0
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.iterdir())
    for name, said in [
        ("file/out", "Not a directory"),
        ("link", "exists already"),
        ("x" * 250, "File name too long"),
        (os.fsdecode(b"out\xff"), "its name is not UTF-8"),
    ]:
        refused(heretic("export", "model", "--trial", "0", tmp_path / name), name[:3], said)
    assert sorted(tmp_path.iterdir()) == before


def test_folders_that_are_nearly_one_of_a_model(heretic: Heretic, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "models--a--b" / "snapshots").mkdir(parents=True)
    refused(heretic("inspect", tmp_path / "models--a--b", runs_dir=None), "name one of the folders in its snapshots")
    other = copy.rename(tmp_path / os.fsdecode(b"m\xff"))
    refused(heretic("inspect", other, runs_dir=None), "is not UTF-8", "rename the folder")

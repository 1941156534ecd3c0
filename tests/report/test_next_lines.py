"""What people type next with an export: shells and tools must read it as it is meant."""

from __future__ import annotations

import ast
import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from heretic_tui.report.model_card import card_text
from heretic_tui.report.next_lines import as_lines, folded_lines, next_lines
from heretic_tui.run.exports import ExportRecord, read_export

GOLDEN = Path(__file__).parents[1] / "golden" / "version_1" / "reproduce.json"
OUT = "/models/Mine & yours/Qwen 3-T41"


@pytest.fixture
def record() -> ExportRecord:
    found = read_export(GOLDEN)
    now = {"edit_method": "norm_preserving", "direction_method": "mean_difference", "judge": "markers"}
    return replace(found, kind="merged", dora=False, settings={**now, **found.settings})


def test_a_merged_model(record: ExportRecord) -> None:
    found = {each.tool: each for each in next_lines(record, OUT)}
    assert list(found) == ["transformers", "vLLM", "llama.cpp", "Ollama"]
    assert [shlex.split(line) for line in found["transformers"].lines] == [
        ["transformers", "serve", OUT],
        ["transformers", "chat", OUT],
    ]
    assert shlex.split(found["vLLM"].lines[0]) == ["vllm", "serve", OUT]
    convert, run = found["llama.cpp"].lines
    assert shlex.split(convert)[2:] == [OUT, "--outfile", "qwen-3-t41.gguf"]
    assert shlex.split(run)[-1] == "qwen-3-t41.gguf"
    assert found["Ollama"].lines[1] == "ollama create qwen-3-t41 -f qwen-3-t41.modelfile"


def test_a_tool_that_takes_folders_gets_one_of_what_lies_on_the_hub(record: ExportRecord) -> None:
    merged = next_lines(record, "me/Mine-T41", uploaded=True)[2].lines
    assert merged[:2] == (
        "hf download me/Mine-T41 --local-dir mine-t41",
        "python convert_hf_to_gguf.py mine-t41 --outfile mine-t41.gguf",
    )
    lora = replace(record, kind="adapter", model="owner/Model", local=())
    lines = next_lines(lora, OUT)[3].lines
    assert lines[0] == "hf download owner/Model --local-dir model"
    assert shlex.split(lines[2])[2:5] == [OUT, "--base", "model"]
    here = next_lines(lora, OUT, "/models/Model")[3].lines
    assert not any("download" in line for line in here)


@pytest.mark.parametrize("out", ["/models/a=b", "/models/it's, mine"])
def test_a_path_that_vllm_would_cut_is_given_as_json(record: ExportRecord, out: str) -> None:
    lines = next_lines(replace(record, kind="adapter", model="owner/Model"), out)[2].lines
    given = json.loads(shlex.split(lines[0])[-1])
    assert given["path"] == out


def test_a_lora_needs_the_original_and_room_for_its_rank(record: ExportRecord) -> None:
    lora = replace(record, kind="adapter", model="owner/Model")
    found = {each.tool: each for each in next_lines(lora, OUT)}
    assert list(found) == ["PEFT", "transformers", "vLLM", "llama.cpp", "Ollama"]
    assert not found["transformers"].lines
    ast.parse("\n".join(found["PEFT"].lines))
    words = shlex.split(found["vLLM"].lines[0])
    assert words == ["vllm", "serve", "owner/Model", "--enable-lora", "--lora-modules", f"qwen-3-t41={OUT}"]
    nearest = replace(lora, approximate="the LoRA of rank 20", settings={"full_normalization_lora_rank": 20})
    assert "--max-lora-rank 32 " in next_lines(nearest, OUT)[2].lines[0]
    here = next_lines(lora, OUT, "/base model")[2].lines[0]
    assert shlex.split(here)[2] == "/base model"


def test_what_knows_no_dora_says_what_to_do_instead(record: ExportRecord) -> None:
    found = next_lines(replace(record, kind="adapter", dora=True), OUT)
    assert [each.tool for each in found if each.lines] == ["PEFT"]
    lines = as_lines(found)
    assert "vLLM         knows no DoRA: export the trial as a merged model for it" in lines


def test_adapters_of_fused_experts_are_for_peft_alone(record: ExportRecord) -> None:
    found = next_lines(replace(record, kind="adapter", fused_experts=True), OUT)
    assert [each.tool for each in found if each.lines] == ["PEFT"]
    assert all("export the trial as a merged model" in each.note for each in found[1:])


def test_a_narrow_pane_has_lines_that_a_shell_reads_as_the_long_ones(record: ExportRecord) -> None:
    found = next_lines(replace(record, kind="adapter", model="owner/Model", local=()), OUT)
    lines = folded_lines(found, 54)
    long = [line for line in lines if len(line) > 54 and ".from_pretrained" not in line]
    # One word: a path.
    assert all(len(shlex.split(line.removesuffix("\\"))) == 1 for line in long), long
    typed = "\n".join(lines).replace(" \\\n", " ")
    for each in found:
        for line in each.lines:
            assert [shlex.split(line)] == [
                shlex.split(row) for row in typed.splitlines() if row.strip().split() == line.split()
            ]


def test_they_stand_in_the_card(record: ExportRecord) -> None:
    card = card_text(record)
    use = card[card.index("## Use") : card.index("## Parameters")]
    assert "```sh\nvllm serve MODEL\n```" in use
    assert use.count("```") == 8
    adapter = card_text(replace(record, kind="adapter", model="owner/Model", local=()))
    assert "vllm serve owner/Model --enable-lora --lora-modules model=MODEL" in adapter

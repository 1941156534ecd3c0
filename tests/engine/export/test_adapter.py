"""A trial as a PEFT adapter computes what the edited model does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.engine.export.adapter import adapter_problem, make_adapter, save_adapter
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.errors import UsageError
from heretic_tui.parameters import Parameters
from heretic_tui.report.next_lines import next_lines
from heretic_tui.run.exports import read_export
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work
from tests.support import families, tiny_models
from tests.support.exports import Heretic, expected_logits, logits_of, record_of, searched
from tests.support.merges import all_layers, directions_for


@pytest.mark.parametrize(
    ("name", "flags", "rank", "close"),
    [
        ("subtract", [], 1, 2e-4),
        ("row_normalised", [], 1, 2e-4),
        ("norm_preserving", ["--dora"], 1, 2e-4),
        # A plain LoRA of an edit that keeps row lengths is an approximation; with every rank that there is, it is none.
        ("norm_preserving", ["--full-normalization-lora-rank", "32"], 32, 2e-4),
        ("norm_preserving", [], 3, 0.3),
    ],
)
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_adapters(
    heretic: Heretic,
    tmp_path: Path,
    sets: list[str],
    kind: str,
    name: str,
    flags: list[str],
    rank: int,
    close: float,
) -> None:
    model = tiny_models.save(tmp_path / "model", kind)
    searched(heretic, model, sets, "--edit-method", name)
    out = tmp_path / "out"
    done = heretic("export", "model", "--trial", "1", out, "--as", "adapter", *flags)
    assert done.status == 0, done.err
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["r"] == rank
    assert config["use_dora"] == ("--dora" in flags)
    expected, base = expected_logits(model, tmp_path / "runs", 1)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), out)
    off = (logits_of(loaded) - expected).norm() / (expected - base).norm()
    assert off < close
    assert record_of(out)["exported"]["figures"]["kl_divergence"] >= 0


@pytest.fixture
def vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of every family, with the tests' tokenizer."""
    monkeypatch.setitem(families.SIZES, "vocab_size", tiny_models.VOCABULARY)


def exact_or_near(model: ChatModel, name: str, rank: int, folder: Path, kind: str, count: int) -> float:
    """How far the adapter of edits with so many directions of a layer, loaded onto the model anew, is from the edited
    model, by what the edit changes."""
    anatomy, method = model.anatomy, edit_method(name)
    edits = EditBank(anatomy.writers, directions_for(anatomy, count), method, 1 << 30).edits(all_layers(anatomy))
    with attached(anatomy.writers, edits):
        expected = logits_of(model.network)
    base = logits_of(model.network)
    save_adapter(make_adapter(model, edits, method, dora=False, rank=rank), model, folder)
    loaded = PeftModel.from_pretrained(families.build(kind), folder).eval()
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == (max(rank, count) if method.dora else count)
    return float((logits_of(loaded) - expected).norm() / (expected - base).norm())


# (E, d_out, d_in); (E, d_in, d_out), which the module says of itself; the same where it does not; and a family whose
# dense matrices PEFT takes for experts.
@pytest.mark.parametrize("kind", ["mixtral", "gpt_oss", "llama4_text", "deepseek_v3"])
def test_fused_experts(vocabulary: None, kind: str, tmp_path: Path) -> None:
    ways = [("row_normalised", 3, 1, 1e-3), ("norm_preserving", 32, 1, 1e-3), ("norm_preserving", 3, 1, 0.4)]
    # Of two directions of a layer, the nearest LoRA has two ranks at least.
    ways += [("row_normalised", 3, 2, 1e-3), ("norm_preserving", 1, 2, 0.5)]
    for name, rank, count, close in ways:
        model = ChatModel(families.build(kind), tiny_models.tokenizer(), Work())
        folder = tmp_path / f"{name}-{rank}-{count}"
        assert exact_or_near(model, name, rank, folder, kind, count) < close, (name, rank, count)
    exact, near = model.anatomy.coverage("LoRA"), model.anatomy.coverage("DoRA")
    assert (exact.exact_as, near.exact_as) == ("LoRA", "")
    assert exact.rank_one == near.rank_one > 0
    assert exact.no_adapter == ""
    assert exact.fused, "which few tools read an adapter of"


@pytest.mark.parametrize(
    ("kind", "dora", "said"),
    [
        ("mixtral", True, "PEFT has no DoRA of experts fused into one parameter"),
        ("dbrx", False, "holds experts that are used outside their own module, where no adapter reaches them"),
        ("laguna", False, "PEFT would not read back all that it writes"),
        ("nemotron_h", False, "PEFT takes no adapter for this model: .* Mamba"),
    ],
)
def test_what_no_adapter_holds_is_refused_in_a_line_also_before_there_are_weights(
    vocabulary: None, kind: str, dora: bool, said: str, tmp_path: Path
) -> None:
    model, method = ChatModel(families.build(kind), tiny_models.tokenizer(), Work()), edit_method("norm_preserving")
    edits = EditBank(model.anatomy.writers, directions_for(model.anatomy), method, 0).edits(all_layers(model.anatomy))
    with pytest.raises(UsageError, match=said) as told:
        make_adapter(model, edits, method, dora=dora, rank=3)
    assert "merged weights" in str(told.value)
    assert "\n" not in str(told.value)
    model.network.config.save_pretrained(tmp_path)
    settings = load_settings(model=str(tmp_path), environment=False)
    # What is a DoRA alone is said by the form that is chosen.
    early = adapter_problem(settings, [all_layers(model.anatomy)])
    assert early == ("" if dora else str(told.value))
    if kind == "nemotron_h":
        others = {name: each for name, each in all_layers(model.anatomy).components.items() if name != "attn.o_proj"}
        assert others
        assert adapter_problem(settings, [Parameters(None, others)]) == "", "what is not edited needs no adapter"
    if kind == "dbrx":
        coverage = model.anatomy.coverage("DoRA")
        assert (coverage.exact_as, coverage.rank_one) == ("", 0)
        assert coverage.no_adapter in str(told.value)


def test_an_adapter_of_fused_experts_is_exported_and_measured(
    heretic: Heretic, tmp_path: Path, sets: list[str], vocabulary: None
) -> None:
    model = tiny_models.save(tmp_path / "model", "qwen2")
    torch.manual_seed(0)
    families.build("qwen3_moe").to(torch.float32).save_pretrained(model)
    searched(heretic, model, sets)
    out, again = tmp_path / "out", tmp_path / "again"
    done = heretic("export", "model", "--trial", "1", out, "--as", "adapter")
    assert done.status == 0, done.err
    record = record_of(out)
    assert record["fused_experts"] is True
    assert "merged weights are exact" in record["approximate"]
    assert record["exported"]["figures"]["kl_divergence"] >= 0
    assert [each.tool for each in next_lines(read_export(out), str(out)) if each.lines] == ["PEFT"]
    expected, base = expected_logits(model, tmp_path / "runs", 1)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), out)
    assert (logits_of(loaded) - expected).norm() / (expected - base).norm() < 0.4
    done = heretic("reproduce", out, again, runs_dir=None)
    assert done.status == 0, done.err
    assert record_of(again)["files"] == record["files"]
    assert record_of(again)["fused_experts"] is True

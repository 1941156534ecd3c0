"""Exports: what is written, loaded by anyone's tools, computes what the trial computed."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from heretic_tui.engine.anatomy.writers import find_anatomy
from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.engine.export.folder import whole_or_absent
from heretic_tui.engine.inputs.check import SETS
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.figures import figures_of_before
from heretic_tui.files import replaced
from heretic_tui.parameters import Parameters
from heretic_tui.report.model_card import card_text
from heretic_tui.run.folder import RunFolder, find_run, find_runs
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState
from heretic_tui.settings.record import to_record
from heretic_tui.settings.sources import load_settings
from heretic_tui.tui.host import resumed_settings
from tests.support import tiny_models
from tests.support.commands import Ended, mounted

Heretic = Callable[..., Ended]


def logits_of(network: torch.nn.Module) -> torch.Tensor:
    tokens = torch.randint(0, 250, (3, 20), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return network(input_ids=tokens).logits


def expected_logits(model: Path, runs_dir: Path, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits with the trial's edit attached, from the run folder's directions, and those of the base model."""
    from safetensors.torch import load_file

    (folder,) = find_runs(runs_dir)
    trial = RunState.replay(read_events(folder.events)).trials[number]
    network = AutoModelForCausalLM.from_pretrained(model)
    anatomy = find_anatomy(network)
    directions = load_file(folder.directions)["directions"]
    method = edit_method(folder.read_record()["settings"]["edit_method"])
    edits = EditBank(anatomy.writers, directions, method, 1 << 30).edits(Parameters.from_json(trial.parameters))
    base = logits_of(network)
    with attached(anatomy.writers, edits):
        return logits_of(network), base


def searched(heretic: Heretic, model: Path, sets: list[str], *flags: str) -> None:
    done = heretic("run", model, *sets, "--n-trials", "2", "--seed", "5", *flags)
    assert done.status == 0, done.err


def record_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "reproduce.json").read_text())


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_merged_weights(heretic: Heretic, tmp_path: Path, sets: list[str], kind: str) -> None:
    model = tiny_models.save(tmp_path / "model", kind)
    searched(heretic, model, sets)
    out = tmp_path / "exports" / "out"
    done = heretic("export", "model", "--trial", "1", out, "--max-shard-size", "60KB")
    assert done.status == 0, done.err
    expected, base = expected_logits(model, tmp_path / "runs", 1)
    actual = logits_of(AutoModelForCausalLM.from_pretrained(out))
    torch.testing.assert_close(actual, expected, atol=2e-4, rtol=1e-4)
    assert (actual - base).abs().max() > 0.1, "the edit changes something"
    assert AutoTokenizer.from_pretrained(out).chat_template == tiny_models.TEMPLATE
    assert (out / "generation_config.json").is_file()

    record = record_of(out)
    assert len(record["files"]) > 1, "sharded"
    assert set(record["files"]) == {path.name for path in out.glob("*.safetensors")}
    assert record["exported"]["figures"]["refusals"] == record["trial"]["figures"]["refusals"]
    exported, trial = (record[key]["figures"]["kl_divergence"] for key in ("exported", "trial"))
    assert exported == pytest.approx(trial, abs=1e-4)
    assert "exported" in done.out
    assert "trial 1" in done.out
    card = (out / "README.md").read_text()
    for said in (
        "refusal behaviour of this model was deliberately reduced",
        "answers for",
        "these files, loaded again",
    ):
        assert said in card
    assert f"{record['parameters']['components']['attn.o_proj']['max_weight']}" in card
    assert [path.name for path in out.parent.iterdir()] == ["out"]


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


def test_an_export_is_made_again_file_by_file(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    searched(heretic, tiny_folder, sets)
    out = tmp_path / "out"
    assert heretic("export", "model", "--trial", "0", out).status == 0
    done = heretic("reproduce", out / "reproduce.json", tmp_path / "again", runs_dir=None)
    assert done.status == 0, done.err
    assert done.out.splitlines() == ["model.safetensors: the same"]
    assert (tmp_path / "again" / "README.md").is_file()
    record = record_of(out)
    record["parameters"]["components"]["attn.o_proj"]["max_weight"] += 1e-3
    (tmp_path / "changed.json").write_text(json.dumps(record))
    done = heretic("reproduce", tmp_path / "changed.json", tmp_path / "third", runs_dir=None)
    assert done.status == 1
    assert done.out.splitlines() == ["model.safetensors: DIFFERENT"]
    refused = heretic("reproduce", tmp_path / "changed.json", tmp_path / "third", runs_dir=None)
    assert refused.status == 2
    assert "exists already" in refused.err
    (tmp_path / "other.json").write_text("{}")
    assert "is not a reproduce.json" in heretic("reproduce", tmp_path / "other.json", tmp_path / "x", runs_dir=None).err


def test_a_record_names_what_lies_here_and_no_path(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run, an export and a rebuild from three working folders, with prompts named relatively."""
    home = tmp_path / "home"
    for name in ("home", "elsewhere"):
        (tmp_path / name).mkdir()
    words = [str(shutil.copy(word, home)) if word.endswith(".txt") else word for word in sets]
    monkeypatch.chdir(home)
    secret = f"sqlite:///{tmp_path}/study.db?password=secret"
    relative = [Path(word).name if word.endswith(".txt") else word for word in words]
    searched(heretic, tiny_folder, relative, "--storage", secret)
    monkeypatch.chdir(tmp_path / "elsewhere")
    out = tmp_path / "out"
    done = heretic("export", "model", "--trial", "0", out)
    assert done.status == 0, done.err
    assert "not measured" not in done.out
    assert heretic("tokens", "model", "--trial", "0").status == 0

    text = (out / "reproduce.json").read_text() + (out / "README.md").read_text()
    assert str(tmp_path) not in text
    assert str(tiny_folder) not in text
    assert not {"storage", "runs_dir", "batch_size", "device_map"} & set(record_of(out)["settings"])
    assert record_of(out)["local"] == ["model", *SETS]
    assert record_of(out)["settings"]["good_prompts"]["dataset"] == "good-prompts.txt"
    (run,) = (tmp_path / "runs").iterdir()
    for file in ("run.json", "events.jsonl", "engine.log"):
        assert not (run / file).exists() or "secret" not in (run / file).read_text(), file
    assert "secret" not in heretic("show", "model").out + heretic("show", "model", "--json").out

    done = heretic("reproduce", out, tmp_path / "again", runs_dir=None)
    assert done.status == 0, done.err
    assert "what is read: the model" in done.err
    assert record_of(tmp_path / "again") == record_of(out)
    # On another machine places are not known.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    done = heretic("reproduce", out, tmp_path / "third", runs_dir=None)
    assert done.status == 2
    assert "knows model by its name alone, 'model': say where it lies with --model PATH" in done.err
    places = [*words[:8], "--model", tiny_folder]
    assert heretic("reproduce", out, tmp_path / "third", *places, runs_dir=None).status == 0
    assert record_of(tmp_path / "third") == record_of(out)


def test_a_record_of_the_first_format_is_read(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    searched(heretic, tiny_folder, sets)
    assert heretic("export", "model", "--trial", "0", tmp_path / "out").status == 0
    (run,) = (tmp_path / "runs").iterdir()
    record = record_of(tmp_path / "out")
    settings = json.loads((run / "run.json").read_text())["settings"]
    old = {
        **record,
        "format": 1,
        "model": settings["model"],
        "settings": {**settings, "storage": "mysql://me:secret@h/d"},
    }
    del old["local"]
    (tmp_path / "old.json").write_text(json.dumps(old))
    done = heretic("reproduce", tmp_path / "old.json", tmp_path / "again", runs_dir=None)
    assert done.status == 0, done.err
    assert record_of(tmp_path / "again") == record


def test_consent_does_not_travel_in_data(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a record nor a run folder gets the Python code of a model run; a flag, a variable or the file does."""
    model, ran = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(tiny_folder, model)
    searched(heretic, model, sets)
    assert heretic("export", "model", "--trial", "0", tmp_path / "out").status == 0
    # What a stranger makes of it: code beside the model, and the consent to run it.
    config = json.loads((model / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}
    config["model_type"] = "evil"
    (model / "config.json").write_text(json.dumps(config))
    (model / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: pass\n")
    (run,) = (tmp_path / "runs").iterdir()
    for file in (run / "run.json", tmp_path / "out" / "reproduce.json"):
        record = json.loads(file.read_text())
        record["settings"]["trust_remote_code"] = True
        file.write_text(json.dumps(record))
    for command in (
        ("export", "model", "--trial", "0", tmp_path / "x"),
        ("tokens", "model", "--trial", "0"),
        ("reproduce", tmp_path / "out", tmp_path / "x"),
    ):
        done = heretic(*command, runs_dir=None if command[0] == "reproduce" else tmp_path / "runs")
        assert done.status == 2
        assert "allow it with --trust-remote-code" in done.err
        assert not ran.exists()
    own = load_settings(environment=False)
    with pytest.raises(UsageError, match="--trust-remote-code"):
        resumed_settings(find_run(tmp_path / "runs", "model"), own)
    heretic("reproduce", tmp_path / "out", tmp_path / "x", "--trust-remote-code", runs_dir=None)
    assert ran.exists(), "the flag allows it"
    ran.unlink()
    monkeypatch.setenv("HERETIC_TUI_TRUST_REMOTE_CODE", "yes")
    assert resumed_settings(find_run(tmp_path / "runs", "model"), load_settings()).trust_remote_code


def test_a_run_of_another_storage_asks_for_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "model-1")
    folder.create()
    settings = load_settings({"storage": "postgresql://me:secret@host/db", "runs_dir": "/somewhere"}, environment=False)
    folder.update_record(settings=to_record(settings))
    with pytest.raises(UsageError, match=r"its trials are kept in 'postgresql://me:\*\*\*@host/db'"):
        resumed_settings(folder, load_settings(environment=False))
    resumed = resumed_settings(folder, settings)
    assert (resumed.storage, resumed.runs_dir) == (settings.storage, str(tmp_path))


def test_a_name_cannot_leave_its_place_in_the_card() -> None:
    evil = "x\nlicense: mit\n---\n# Safe `and` *sound* <b>"
    settings = load_settings(environment=False).model_dump(mode="json")
    settings["good_prompts"] = {"dataset": "a`b``c\n# heading", "split": "train`"}
    measured = {"figures": {"kl_divergence": 0.1, "refusals": 1}, "prompts": 2}
    record = {
        "model": evil,
        "model_commit": "`x`",
        "settings": settings,
        "kind": "merged",
        "figures": [asdict(figure) for figure in figures_of_before()],
        "trial": {"number": 1, **measured},
        "base": measured,
        "coverage": "<script> `x` \n# heading",
        "parameters": {"components": {"```\n# heading": {}}},
        "not_measured": "because\n# heading `x` [link](http://x)",
    }
    for name in (evil, "no", "1e5", "evil: yes", "- x", "owner/name", "'", "a\u2028b: c"):
        text = card_text({**record, "model": name})
        _, front, body = re.split(r"^---$", text, flags=re.MULTILINE)
        found = yaml.safe_load(front)
        assert set(found) <= {"base_model", "base_model_relation", "library_name", "tags"}
        assert found.get("base_model", name) == name
        assert "deliberately reduced" in body
        headings = [line for line in body.splitlines() if line.startswith("#")]
        assert len(headings) == 3, headings
        assert "good prompts ``` a`b``c\\n# heading train` ```" in body
    assert "base_model: owner/name" in card_text({**record, "model": "owner/name"})


def test_a_model_that_changed_since_the_run_is_not_exported(heretic: Heretic, tmp_path: Path, sets: list[str]) -> None:
    model = tiny_models.save(tmp_path / "model")
    searched(heretic, model, sets)
    tiny_models.network("llama", seed=9).save_pretrained(model)
    done = heretic("export", "model", "--trial", "0", tmp_path / "out")
    assert done.status == 2
    assert "has changed since the run was made" in done.err
    assert not (tmp_path / "out").exists()


def test_an_export_without_its_prompts_is_made_and_says_that_it_was_not_measured(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    own = tmp_path / "own.txt"
    own.write_text("".join(f"own prompt {i}\n" for i in range(9)))
    searched(heretic, tiny_folder, [*sets, "--bad-evaluation-prompts", str(own)])
    own.unlink()
    done = heretic("export", "model", "--trial", "0", tmp_path / "out")
    assert done.status == 0
    assert "the exported files were not measured" in done.out
    assert "were not measured" in (tmp_path / "out" / "README.md").read_text()


def test_an_export_takes_what_the_run_found_and_never_writes_to_it(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    searched(heretic, tiny_folder, sets)
    (run,) = (tmp_path / "runs").iterdir()

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    whole = content()
    baseline, base = run / "baseline.safetensors", run / "responses" / "base.json"
    for lost in (baseline, base):
        lost.rename(tmp_path / lost.name)
        before, out = content(), tmp_path / f"without-{lost.stem}"
        done = heretic("export", "model", "--trial", "0", out)
        assert done.status == 0
        assert "the exported files were not measured: the baseline of run" in done.out
        assert "exported" not in record_of(out)
        assert content() == before, "the exported model's figures are not those of the run's base"
        (tmp_path / lost.name).rename(lost)
    (run / "directions.safetensors").rename(tmp_path / "directions.safetensors")
    done = heretic("export", "model", "--trial", "0", tmp_path / "undirected")
    assert done.status == 1
    assert done.err.strip().splitlines()[-1].startswith("heretic-tui: the directions of run")
    assert not (tmp_path / "undirected").exists()
    (tmp_path / "directions.safetensors").rename(run / "directions.safetensors")
    assert heretic("export", "model", "--trial", "0", tmp_path / "out").status == 0
    assert content() == whole


@pytest.mark.parametrize("name", ["preprocessor_config.json", "generation_config.json", "chat_template.jinja"])
def test_a_link_out_of_the_models_folder_is_not_followed_into_an_export(
    heretic: Heretic, tmp_path: Path, sets: list[str], name: str
) -> None:
    model = tiny_models.save(tmp_path / "model")
    secret = tmp_path / "secret"
    secret.write_bytes((model / name).read_bytes() if (model / name).is_file() else b'{"token": "mine"}')
    (model / name).unlink(missing_ok=True)
    (model / name).symlink_to(secret)
    done = heretic("run", model, *sets, "--n-trials", "2", "--seed", "5")
    assert done.status == 0
    assert f"no trial can be exported as it stands: {model / name} is a link" in done.out
    done = heretic("export", "model", "--trial", "0", tmp_path / "out")
    assert done.status == 2
    assert f"{model / name} is a link to {secret}" in done.err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()
    (model / name).unlink()
    secret.rename(model / name)
    assert heretic("export", "model", "--trial", "0", tmp_path / "out").status == 0


def test_links_of_the_hub_cache_and_to_weights_are_followed(heretic: Heretic, tmp_path: Path, sets: list[str]) -> None:
    cache = tmp_path / "models--me--model"
    model = tiny_models.save(cache / "snapshots" / "0123")
    (cache / "blobs").mkdir()
    for path in list(model.iterdir()):
        elsewhere = tmp_path if path.suffix == ".safetensors" else cache / "blobs"
        path.rename(elsewhere / f"blob-{path.name}")
        path.symlink_to(elsewhere / f"blob-{path.name}")
    searched(heretic, model, sets)
    assert heretic("export", "0123", "--trial", "0", tmp_path / "out").status == 0
    assert not any(path.is_symlink() for path in (tmp_path / "out").iterdir())


def test_two_exports_to_one_folder_never_take_each_others_files(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with whole_or_absent(out) as first:
        (first / "mine").write_text("first")
        os.utime(first, (0, 0))
        second = whole_or_absent(out)
        (second.__enter__() / "mine").write_text("second")
        assert first.is_dir(), "what another is writing is no leftover"
        out.mkdir()
        with pytest.raises(UsageError, match="something else was written there"):
            second.__exit__(None, None, None)
        out.rmdir()
    assert (out / "mine").read_text() == "first"
    left = tmp_path / ".other.killed.part"
    left.mkdir()
    os.utime(left, (0, 0))
    with whole_or_absent(tmp_path / "other"):
        assert not left.exists(), "what a killed process left"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out"]
    assert out.stat().st_mode & 0o777 == (tmp_path / "other").stat().st_mode & 0o777 == 0o777 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("library", ["safetensors", "torch"])
def test_a_full_disk_is_a_line_whichever_library_writes(tmp_path: Path, library: str) -> None:
    def write(to: Path) -> None:
        large = {"x": torch.zeros(100_000)}
        to = to / "file" if to.is_dir() else to
        save_file(large, to) if library == "safetensors" else torch.save(large, to)

    def written(context: AbstractContextManager[Path]) -> None:
        with context as to:
            write(to)

    with mounted(tmp_path / "small", "size=64k") as disk:
        for context in (replaced(disk / "file"), whole_or_absent(disk / "out")):
            with pytest.raises(HereticError, match=r"cannot write .*: (no space left|the file could not)"):
                written(context)
        assert list(disk.iterdir()) == []


def test_scoring_an_exported_models_edit_agrees_with_the_trial(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    searched(heretic, tiny_folder, sets)
    shown = json.loads(heretic("show", "model", "--json").out)
    trial = shown["trials"][1]
    edit = {key: trial[key] for key in ("direction_index", "components")}
    (tmp_path / "edit.json").write_text(json.dumps(edit))
    done = heretic("score", tiny_folder, *sets, "--edit", tmp_path / "edit.json", runs_dir=None)
    scored = json.loads(done.out)
    assert scored["figures"] == pytest.approx(trial["figures"], abs=1e-6)
    assert scored["prompts"] == 6
    assert {"load", "KL divergence", "prompts", "decoding"} <= set(scored["seconds"])
    base = json.loads(heretic("score", tiny_folder, *sets, runs_dir=None).out)
    assert base["figures"] == pytest.approx(shown["base"]["figures"], abs=1e-6)


def test_show_and_runs(heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path) -> None:
    assert heretic("runs").out.startswith("no runs in")
    searched(heretic, tiny_folder, sets)
    (listed,) = json.loads(heretic("runs", "--json").out)
    assert (listed["trials"], listed["n_trials"], listed["state"]) == (2, 2, "done")
    assert listed["run"] in heretic("runs").out
    shown = json.loads(heretic("show", listed["run"], "--json").out)
    assert set(shown) >= {"run", "model", "settings", "base", "trials"}
    assert [trial["number"] for trial in shown["trials"]] == [0, 1]
    assert set(shown["trials"][0]) >= {
        "number", "state", "figures", "at_least", "estimate", "front", "seconds", "direction_index", "components",
    }  # fmt: skip
    assert any(trial["front"] for trial in shown["trials"])
    text = heretic("show", listed["run"]).out
    assert "front" in text
    assert "edit_method = norm_preserving" in text

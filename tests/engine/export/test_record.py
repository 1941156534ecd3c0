"""The record of an export: the model is built again from it, and it holds no path, no consent and no password."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from heretic_tui.errors import UsageError
from heretic_tui.figures import figures_of_before
from heretic_tui.report.model_card import card_text
from heretic_tui.run.exports import ExportRecord, MeasuredFigures, TrialFigures
from heretic_tui.run.folder import RunFolder, find_run
from heretic_tui.settings.prompt_sets import RUN_SETS
from heretic_tui.settings.record import to_record
from heretic_tui.settings.sources import load_settings
from heretic_tui.tui.host import resumed_settings
from tests.support.exports import Heretic, record_of, searched


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
    assert record_of(out)["local"] == ["model", *RUN_SETS]
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
    # At the time of that format there was no screening, and nobody looked for broken responses.
    searched(heretic, tiny_folder, sets, "--screening", "off", "--no-count-broken-as-refused")
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
    figures = [figure for figure in record["figures"] if figure["key"] != "broken"]
    assert record_of(tmp_path / "again") == {**record, "figures": figures}


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
    folder.save_record(replace(folder.read_record(), settings=to_record(settings)))
    with pytest.raises(UsageError, match=r"its trials are kept in 'postgresql://me:\*\*\*@host/db'"):
        resumed_settings(folder, load_settings(environment=False))
    resumed = resumed_settings(folder, settings)
    assert (resumed.storage, resumed.runs_dir) == (settings.storage, str(tmp_path))


def test_a_name_cannot_leave_its_place_in_the_card() -> None:
    evil = "x\nlicense: mit\n---\n# Safe `and` *sound* <b>"
    settings = load_settings(environment=False).model_dump(mode="json")
    settings["good_prompts"] = {"dataset": "a`b``c\n# heading", "split": "train`"}
    figures = {"kl_divergence": 0.1, "refusals": 1}
    record = ExportRecord(
        model=evil,
        model_commit="`x`",
        settings=settings,
        identity={},
        batch_size=1,
        response_prefix="",
        kind="merged",
        dora=False,
        figures=figures_of_before(),
        trial=TrialFigures(number=1, figures=figures, prompts=2),
        base=MeasuredFigures(figures=figures, prompts=2),
        coverage="<script> `x` \n# heading",
        parameters={"components": {"```\n# heading": {}}},
        files={},
        not_measured="because\n# heading `x` [link](http://x)",
    )
    for name in (evil, "no", "1e5", "evil: yes", "- x", "owner/name", "'", "a\u2028b: c"):
        text = card_text(replace(record, model=name))
        _, front, body = re.split(r"^---$", text, flags=re.MULTILINE)
        found = yaml.safe_load(front)
        assert set(found) <= {"base_model", "base_model_relation", "library_name", "tags"}
        assert found.get("base_model", name) == name
        assert "deliberately reduced" in body
        headings = [line for line in body.splitlines() if line.startswith("#")]
        assert len(headings) == 4, headings
        adapter = card_text(replace(record, model=name, kind="adapter"))
        assert len([line for line in adapter.splitlines() if line.startswith("#")]) == 4
        assert adapter.count("\n```") == text.count("\n```")
        assert "harmless prompts ``` a`b``c\\n# heading train` ```" in body
    assert "base_model: owner/name" in card_text(replace(record, model="owner/name"))

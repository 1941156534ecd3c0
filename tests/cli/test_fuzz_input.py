"""Whatever stands in settings, edit files and reproduce files: it is taken, or refused in one short line."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from heretic_tui.engine.export.record import settings_of, sources
from heretic_tui.errors import UsageError
from heretic_tui.figures import figures_of_before
from heretic_tui.parameters import Parameters
from heretic_tui.report.model_card import card_text
from heretic_tui.run.exports import read_export
from heretic_tui.settings.describe import Setting, every_setting
from heretic_tui.settings.flags import add_flags, flags_of
from heretic_tui.settings.form import SettingsForm
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings
from heretic_tui.settings.toml import to_toml

KEYS = [setting.key for setting in every_setting()]


def deep(depth: int, dictionary: bool) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value} if dictionary else [value]
    return value


# What nobody writes on purpose, as Python's values and as JSON's and TOML's text.
ODD: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, 10**400, 10**5000, float("nan"), float("inf"), 1e308, "", " ", "\0", "\x1b[31m",
    "\n", "\ud83d", "\u202e", "many", "9" * 5000, "x" * 100_000, "\u0663GB", [], {}, [[]], [["a"]], [None], ["="],
    {"": ""}, {"a": []}, {"x" * 100_000: 1}, [{}], [["a", "b", "c"]], deep(90, False), deep(90, True),
    deep(5000, False), deep(5000, True), "postgresql://me:secret@host/db",
]  # fmt: skip
TEXTS = [
    "", "9" * 5000, "-" + "9" * 400, "1e999", "[" * 20_000, "{a=" * 20_000, "[[1]]", "[[]]", "{}", "{ a = [1] }",
    "true", "nan", "-inf", "1979-05-27", '"\\ud83d"', '"""', "'", "0x" + "f" * 5000, "many",
    '"' + "x" * 100_000 + '"', "\0",
]  # fmt: skip
JSON_TEXTS = [
    "9" * 5000, "[" * 100_000, '{"a":' * 100_000, "1e999", "NaN", "-Infinity", "", "null", "[]", '"\\ud83d"', "{", "\0",
    '"' + "x" * 100_000 + '"', "1" + "0" * 400,
]  # fmt: skip


def taken_or_refused(call: Callable[[], Any], path: Path | None = None) -> None:
    try:
        call()
    except UsageError as error:
        said = str(error)
        assert said
        assert "\n" not in said
        assert len(said.replace(str(path), "")) <= 300, said[:500]
        assert "secret" not in said
        assert "Input should" not in said


anything = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KEYS) | st.text(max_size=10), anything)
# Each character is ten in a message that quotes it.
@example("direction_method", {"\U0004717e" * 5: {"\U00014647" * 5: None}})
@example("behaviour", ["\U0001342f" * 20] * 3)
def test_values_of_settings(key: str, value: Any) -> None:
    name, _, part = key.partition(".")
    taken_or_refused(lambda: load_settings({name: {part: value} if part else value}, environment=False))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(KEYS), st.sampled_from(TEXTS) | st.text(max_size=20), st.booleans())
def test_settings_files(tmp_path: Path, key: str, value: str, table: bool) -> None:
    file = tmp_path / "settings.toml"
    name, _, part = key.partition(".")
    text = f"[{name}]\n{part or 'x'} = {value}\n" if table else f"{key} = {value}\n"
    file.write_bytes(text.encode(errors="surrogatepass"))
    taken_or_refused(lambda: load_settings(config=file, environment=False), file)


def test_damaged_settings_files(tmp_path: Path) -> None:
    file, chance = tmp_path / "settings.toml", random.Random(1)
    whole = to_toml(load_settings(environment=False)).encode()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        file.write_bytes(data[: chance.randrange(len(data))] if chance.random() < 0.3 else data)
        taken_or_refused(lambda: load_settings(config=file, environment=False), file)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(KEYS) | st.text(st.characters(codec="ascii", exclude_characters="=\0"), max_size=10),
    st.sampled_from(TEXTS) | st.text(st.characters(codec="utf-8"), max_size=20),
)
def test_variables(tmp_path: Path, key: str, value: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setenv("HERETIC_TUI_" + key.replace(".", "__").upper(), value.replace("\0", "\udcff"))
        taken_or_refused(load_settings)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KEYS), st.sampled_from(TEXTS) | st.text(max_size=20))
def test_flags_and_what_is_typed(key: str, value: str) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_flags(parser, Settings.model_fields)
    name, _, part = key.partition(".")
    setting = Setting(name, part or None)
    if not setting.is_switch:
        flag = f"{setting.flag}={value}"
        taken_or_refused(lambda: load_settings(flags_of(parser.parse_args([flag])), environment=False))
    taken_or_refused(lambda: SettingsForm({}).set(key, value))


EDIT = {
    "direction_index": 1.5,
    "components": {
        "attn.o_proj": {"max_weight": 1, "max_weight_position": 2, "min_weight": 0, "min_weight_distance": 1},
        "mlp.down_proj": {"max_weight": 1, "max_weight_position": 2, "min_weight": 0, "min_weight_distance": 1},
    },
}


def spoilt(record: Any, chance: random.Random) -> str:
    """JSON of a record with one value replaced, left out, or added; or the text itself damaged."""
    record = json.loads(json.dumps(record))
    place = record
    while True:
        key = chance.choice(list(place))
        if not (isinstance(place[key], dict) and place[key]) or chance.random() < 0.2:
            break
        place = place[key]
    way = chance.random()
    if way < 0.15:
        del place[key]
    elif way < 0.25:
        place[chance.choice(["", "x" * 100_000, "\ud83d", "a`b\n"])] = place[key]
    elif way < 0.5:
        place[key] = chance.choice([value for value in ODD if not _too_deep(value)])
    else:
        place[key] = "HERE"
    text = json.dumps(record).replace('"HERE"', chance.choice(JSON_TEXTS))
    return text[: chance.randrange(len(text))] if chance.random() < 0.05 else text


def _too_deep(value: Any) -> bool:
    depth = 0
    while isinstance(value, list | dict) and value and depth < 1000:
        value, depth = next(iter(value.values() if isinstance(value, dict) else value)), depth + 1
    # Numbers of so many digits Python does not write.
    return depth > 100 or (isinstance(value, int) and value.bit_length() > 10_000)


def test_edit_files(tmp_path: Path) -> None:
    file, chance = tmp_path / "edit.json", random.Random(2)
    for _ in range(300):
        file.write_text(spoilt(EDIT, chance))
        taken_or_refused(lambda: Parameters.from_file(file), file)


RECORD: dict[str, Any] = {
    "format": 3,
    "model": "model",
    "model_commit": None,
    "local": ["model", "good_prompts", "bad_prompts", "good_evaluation_prompts", "bad_evaluation_prompts"],
    "identity": {"settings": {}, "model": "0" * 64, "prompts": "0" * 64},
    "settings": {
        "model": "model",
        "trust_remote_code": False,
        "good_prompts": {"dataset": "g.txt"},
        "bad_prompts": {"dataset": "b.txt"},
        "good_evaluation_prompts": {"dataset": "ge.txt", "split": None},
        "bad_evaluation_prompts": {"dataset": "be.txt"},
        "n_startup_trials": 60,
    },
    "seed": 2**31 - 1,
    "batch_size": 4,
    "response_prefix": "",
    "dtype": "float32",
    "run": "model-1",
    "kind": "merged",
    "dora": False,
    "parameters": EDIT,
    "coverage": "6 of 6",
    "figures": [asdict(figure) for figure in figures_of_before()],
    "base": {"figures": {"kl_divergence": 0.0, "refusals": 1}, "prompts": 2},
    "trial": {"number": 0, "figures": {"kl_divergence": 0, "refusals": 1}, "prompts": 2},
    "exported": {"figures": {"kl_divergence": 0.1, "refusals": 1}, "prompts": 2},
    "versions": {"torch": "2"},
    "files": {"model.safetensors": "0" * 64},
}


def test_reproduce_files(tmp_path: Path) -> None:
    file, chance, own = tmp_path / "reproduce.json", random.Random(3), load_settings(environment=False)
    given = dict.fromkeys(RECORD["local"], str(tmp_path))

    def read() -> None:
        record = read_export(file)
        Parameters.from_json(record.parameters, str(file))
        found = settings_of(record, own, given if chance.random() < 0.5 else {}, str(file))
        assert not found.trust_remote_code
        assert (found.storage, found.runs_dir, found.device_map) == (None, own.runs_dir, own.device_map)
        card_text(replace(record, **sources(found)))

    file.write_text(json.dumps(RECORD))
    assert read_export(file).to_json()["trial"] == {**RECORD["trial"], "by_hand": False, "origin": ""}
    for _ in range(300):
        file.write_text(spoilt(RECORD, chance), errors="surrogatepass")
        taken_or_refused(read, file)


def test_what_somebody_adds_to_a_record_is_not_taken(tmp_path: Path) -> None:
    file, own = tmp_path / "reproduce.json", load_settings(environment=False)
    given = dict.fromkeys(RECORD["local"], "/here")
    added = {"storage": "sqlite:////tmp/x", "runs_dir": "/tmp/x", "device_map": "meta", "max_memory": {"cpu": "1GB"}}
    file.write_text(json.dumps({**RECORD, "settings": {**RECORD["settings"], **added}, "extra": 1}))
    record = read_export(file)
    assert "extra" not in record.to_json()
    found = settings_of(record, own, given, str(file))
    assert {name: getattr(found, name) for name in added} == {name: getattr(own, name) for name in added}
    # A path of a stranger's is not followed, though `local` does not say that it is one.
    named = {**RECORD, "local": [], "settings": {**RECORD["settings"], "model": str(tmp_path)}}
    file.write_text(json.dumps(named))
    with pytest.raises(UsageError, match="knows model by its name alone"):
        settings_of(read_export(file), own, {}, str(file))

"""Settings in the making: the command line that they amount to, and texts as they are typed."""

from __future__ import annotations

import shlex

import pytest

from heretic_tui.cli.main import parser_for
from heretic_tui.cli.shared import given_settings
from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.errors import UsageError
from heretic_tui.settings.form import SettingsForm, text_of, value_of
from heretic_tui.settings.identity import identity
from heretic_tui.settings.presets import PRESETS, changes, preset_of
from heretic_tui.settings.sources import load_settings
from heretic_tui.terminal import Streams

EDITS = {
    "model": "some/model",
    "dtypes": '["float32", "bfloat16"]',
    "response_prefix": '""',
    "refusal_markers": '["no, thank you", "it\'s a secret"]',
    "orthogonalize_direction": "false",
    "n_trials": "12",
    "good_prompts": "my prompts.txt",
    "good_prompts.split": "[:40]",
    "bad_prompts.column": "question",
    # What the built-in set has too, but a set with a dataset of its own has not unless it is given.
    "bad_evaluation_prompts": "other.csv",
    "bad_evaluation_prompts.split": "test[:100]",
    "max_memory": '{ 0 = "20GiB", cpu = "60GiB" }',
}


def test_the_command_line_says_the_same_as_the_form() -> None:
    form = SettingsForm({})
    for key, text in EDITS.items():
        assert form.check(key, text) is None, key
        form.set(key, text)
    words = shlex.split(form.command_line())[1:]
    again = load_settings(given_settings(parser_for(words, Streams()).parse_args(words)), environment=False)
    assert again == form.settings


def test_the_demo_s_command_line_is_the_demo() -> None:
    form = SettingsForm({}, base=settings_of_the_demo())
    words = shlex.split(form.command_line())[1:]
    again = load_settings(given_settings(parser_for(words, Streams()).parse_args(words)), environment=False)
    assert identity(again) == identity(form.settings)


def test_values_come_back_from_their_texts_and_defaults_from_reset() -> None:
    form = SettingsForm({})
    for entry in list(form.entries()):
        assert entry.part or form.check(entry.key, entry.value) is None, entry.key
        value = value_of(entry.value, entry.name, entry.part or "")
        assert text_of(value) == entry.value or str(value) == entry.value
    for key, text in EDITS.items():
        form.set(key, text)
    for key in EDITS:
        form.reset(key)
    assert form.settings.n_trials == 200
    assert form.settings.response_prefix is None
    assert not any(e.changed for e in form.entries() if not e.part), [e.key for e in form.entries() if e.changed]


def test_a_password_is_shown_nowhere() -> None:
    form = SettingsForm({"storage": "postgresql://me:secret@host/db"})
    (entry,) = (entry for entry in form.entries() if entry.key == "storage")
    assert entry.words == "postgresql://me:***@host/db"
    assert "secret" in entry.value, "the line that it is edited in has it"
    assert "secret" not in form.command_line()


def test_what_is_wrong_is_said_in_our_words_without_where_it_was_typed() -> None:
    assert SettingsForm({}).check("n_trials", "many") == "Number of trials: a whole number from 1 to 100,000."
    assert SettingsForm({}).check("judge", "marker") == "Judge: one of markers: did you mean 'markers'?"
    with pytest.raises(UsageError, match=r"^Split of the harmful prompts \(train\): "):
        SettingsForm({}).set("bad_prompts.split", "[1, 2]")


def test_changes_are_taken_back_one_by_one() -> None:
    form = SettingsForm({"seed": 3})
    before = form.settings
    assert form.undo() is None
    form.set("n_trials", "7")
    form.set("n_trials", "7")
    form.update("preset quick", PRESETS[0].values)
    form.set("bad_prompts.split", "[:40]")
    form.reset("seed")
    taken = [form.undo() for _ in range(4)]
    assert taken == ["seed", "split of the harmful prompts (train)", "preset quick", "number of trials"]
    assert form.settings == before
    assert form.undo() is None
    with pytest.raises(UsageError):
        form.update("nonsense", {"n_trials": 50, "seed": -1})
    assert form.settings == before
    assert form.undo() is None, "what was refused is no change"


def test_every_preset_is_valid_and_the_standard_one_is_the_default() -> None:
    defaults = load_settings(environment=False)
    form = SettingsForm({})
    for preset in PRESETS:
        form.update(preset.name, preset.values)
        assert preset_of(form.settings) == preset
        assert {**changes(preset, defaults)} == {
            name: (getattr(defaults, name), value)
            for name, value in preset.values.items()
            if getattr(defaults, name) != value
        }
    assert preset_of(defaults) == next(each for each in PRESETS if each.name == "standard")
    form.set("n_trials", "61")
    assert preset_of(form.settings) is None


def test_every_setting_and_every_value_that_stands_for_none_has_words() -> None:
    entries = {entry.key: entry for entry in SettingsForm({}).entries()}
    assert {key: entry.title for key, entry in entries.items() if "_" in entry.title} == {}
    assert not {key for key, entry in entries.items() if entry.words in ("", "0", '""', "[]", "None")}
    shown = {key: entries[key].words for key in ("model", "seed", "batch_size", "early_stop", "refusal_markers")}
    assert shown == {
        "model": "not chosen",
        "seed": "drawn at start",
        "batch_size": "auto",
        "early_stop": "on",
        "refusal_markers": "32 markers",
    }
    form = SettingsForm({"seed": 0})
    assert next(entry for entry in form.entries() if entry.key == "seed").words == "0"


@pytest.mark.parametrize(
    ("key", "text"), [("n_trials", "0"), ("dtypes", '["float33"]'), ("seed", "x"), ("dtypes", "[")]
)
def test_a_wrong_text_is_said_and_not_taken(key: str, text: str) -> None:
    form = SettingsForm({})
    before = form.settings
    assert form.check(key, text)
    assert form.settings == before

"""Settings: which source wins, what is refused, and that what is printed reads back."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heretic_tui.errors import UsageError
from heretic_tui.plugins import CHECKS, names
from heretic_tui.settings.flags import add_flags, flags_of
from heretic_tui.settings.form import SettingsForm
from heretic_tui.settings.identity import identity
from heretic_tui.settings.prompt_sets import PromptSet
from heretic_tui.settings.record import from_record, to_record
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings
from heretic_tui.settings.toml import to_toml


def parsed(*arguments: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_flags(parser, Settings.model_fields)
    return flags_of(parser.parse_args(arguments))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_flags_go_before_environment_before_file_before_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().n_trials == 200
    Path("heretic.toml").write_text("n_trials = 11\nn_startup_trials = 12\nseed = 13\n")
    assert load_settings().n_trials == 11
    monkeypatch.setenv("HERETIC_TUI_N_TRIALS", "21")
    monkeypatch.setenv("HERETIC_TUI_SEED", "22")
    settings = load_settings(parsed("--n-trials", "31"))
    assert (settings.n_trials, settings.seed, settings.n_startup_trials) == (31, 22, 12)


def test_a_config_file_stands_in_for_the_one_in_the_folder() -> None:
    Path("heretic.toml").write_text("n_trials = 11\nseed = 5\n")
    Path("other.toml").write_text("n_trials = 12\n")
    assert (load_settings(config=Path("other.toml")).n_trials, load_settings(config=Path("other.toml")).seed) == (
        12,
        None,
    )


def test_a_set_is_a_path_with_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    given_ = parsed("--good-prompts", "a.txt", "--bad-prompts.split", "train[:50]", "--bad-prompts.system-prompt", "")
    settings = load_settings(given_)
    # A file of one's own does not inherit the split of the default set; a part alone amends the default set.
    assert settings.good_prompts == PromptSet(dataset="a.txt")
    assert settings.bad_prompts.dataset == "mlabonne/harmful_behaviors"
    assert settings.bad_prompts.split == "train[:50]"
    assert settings.bad_prompts.system_prompt == ""
    monkeypatch.setenv("HERETIC_TUI_GOOD_PROMPTS__DATASET", "b.csv")
    monkeypatch.setenv("HERETIC_TUI_GOOD_PROMPTS__COLUMN", "c")
    assert load_settings().good_prompts == PromptSet(dataset="b.csv", column="c")
    assert load_settings(parsed("--good-prompts.suffix", "!")).good_prompts == PromptSet(
        dataset="b.csv", column="c", suffix="!"
    )


def test_lists_take_words_or_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(parsed("--dtypes", "float32")).dtypes == ["float32"]
    assert load_settings(parsed("--dtypes", "auto", "float32")).dtypes == ["auto", "float32"]
    assert load_settings(parsed("--dtypes", "auto,float32")).dtypes == ["auto", "float32"]
    monkeypatch.setenv("HERETIC_TUI_DTYPES", "bfloat16,float32")
    assert load_settings().dtypes == ["bfloat16", "float32"]
    monkeypatch.setenv("HERETIC_TUI_REFUSAL_MARKERS", '["no, never", "sorry"]')
    assert load_settings().refusal_markers == ["no, never", "sorry"]
    monkeypatch.setenv("HERETIC_TUI_REFUSAL_MARKERS", "[no] way")
    assert load_settings().refusal_markers == ["[no] way"]
    assert load_settings(parsed("--max-memory", "0=20GiB", "cpu=60GiB")).max_memory == {"0": "20GiB", "cpu": "60GiB"}
    assert load_settings(parsed("--refusal-markers", "no, never", "sorry")).refusal_markers == ["no, never", "sorry"]


def test_all_checks_are_made_by_default_in_an_order_that_does_not_change() -> None:
    checks = load_settings().review_checks
    assert checks[:4] == ["held_out", "sampling", "second_opinion", "broken"]
    assert sorted(checks) == sorted(names(CHECKS))


def test_an_empty_prefix_means_none_and_is_not_unset() -> None:
    assert load_settings().response_prefix is None
    assert load_settings(parsed("--response-prefix", "")).response_prefix == ""


def test_a_program_names_settings_as_arguments() -> None:
    Path("heretic.toml").write_text("n_trials = 11\nseed = 13\n")
    settings = load_settings({"n_trials": 12}, n_trials=14, good_prompts={"split": "train[:7]"})
    assert (settings.n_trials, settings.seed, settings.good_prompts.split) == (14, 13, "train[:7]")
    with pytest.raises(UsageError, match=r"^seed \(from the program\): expected a whole number"):
        load_settings(seed=-1)
    with pytest.raises(UsageError, match="unknown setting 'n_trial' in the program: did you mean 'n_trials'"):
        load_settings(n_trial=3)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("n_trial = 5", "unknown setting 'n_trial' in heretic.toml: did you mean 'n_trials'?"),
        ("[good_prompts]\nsplitt = 'train'", "unknown setting 'good_prompts.splitt' in heretic.toml"),
        ("n_trials = 0", "n_trials (from heretic.toml): expected a whole number from 1 to 100,000, not 0"),
        ("row_normalization = 'half'", "row_normalization (from heretic.toml): expected one of none, pre, full, not"),
        ("edit_method = 'substract'", "expected one of norm_preserving, row_normalised, subtract, not 'substract'"),
        ("edit_method = 'substract'", "did you mean 'subtract'?"),
        ("edit_method = 3", "edit_method (from heretic.toml): expected one of norm_preserving, row_normalised,"),
        (
            "row_normalization = 'pre'\nedit_method = 'subtract'",
            "row_normalization = pre and edit_method = 'subtract' (from heretic.toml) contradict each other",
        ),
        ("max_shard_size = 'big'", "expected a number and a unit, such as 5GB or 500MB"),
        ("max_shard_size = '0GB'", "expected a number and a unit, such as 5GB or 500MB"),
        ("max_memory = {0 = 'lots'}", "expected DEVICE=AMOUNT for each device"),
        ("max_memory = ['0=-3GiB']", "expected DEVICE=AMOUNT for each device"),
        ("refusal_markers = ['sorry', ' ']", "refusal_markers (from heretic.toml): expected one or more texts, not ["),
        ("runs_dir = ''", "runs_dir (from heretic.toml): expected a folder, not ''"),
        ("n_trials = = 3", "heretic.toml is not valid TOML"),
    ],
)  # fmt: skip
def test_what_a_file_gets_wrong_is_named(file: str, said: str) -> None:
    Path("heretic.toml").write_text(file)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_record_of_a_newer_version_is_told_as_such() -> None:
    record = {**to_record(load_settings()), "layers_to_skip": 3}
    with pytest.raises(UsageError, match="that this version does not know, 'layers_to_skip': use a newer one"):
        from_record(record, load_settings(), "run.json")


def test_whom_a_review_asks_and_whose_code_it_runs_is_the_users_own_to_say() -> None:
    theirs = {"review_endpoint": "http://elsewhere/v1", "review_endpoint_key": "AWS_SECRET_ACCESS_KEY"}
    record = {**to_record(load_settings()), **theirs, "review_task_folder": "/run/folder/tasks"}
    found = from_record(record, load_settings(), "run.json")
    assert (found.review_endpoint, found.review_endpoint_key, found.review_task_folder) == (None, None, None)
    own = load_settings({"review_task_folder": "mine", "review_endpoint": "http://localhost:1/v1"})
    found = from_record(record, own, "run.json")
    assert (found.review_endpoint, found.review_task_folder) == ("http://localhost:1/v1", "mine")


def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERETIC_TUI_NTRIALS", "5")
    with pytest.raises(UsageError, match=r"unknown setting 'ntrials' in the environment: did you mean 'n_trials'\?"):
        load_settings()


def test_every_setting_has_a_flag_and_a_description() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, Settings.model_fields)
    text = parser.format_help()
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in text
        assert field.description
    for part, field in PromptSet.model_fields.items():
        assert part == "dataset" or f"--bad-evaluation-prompts.{part.replace('_', '-')}" in text
        assert field.description


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
maybe = st.none() | texts
sets = st.builds(
    PromptSet, dataset=texts, commit=maybe, split=maybe, column=maybe, prefix=texts, suffix=texts, system_prompt=maybe
)
configurations = st.fixed_dictionaries(
    {},
    optional={
        "model": texts,
        "model_commit": maybe,
        "dtypes": st.lists(st.sampled_from(["auto", "float16", "bfloat16", "float32"]), min_size=1, max_size=4),
        "max_memory": st.none() | st.dictionaries(texts, st.sampled_from(["20GiB", "0.5 MB", "0GB"]), max_size=3),
        "good_prompts": sets,
        "bad_evaluation_prompts": sets,
        "system_prompt": texts,
        "response_prefix": maybe,
        "chain_of_thought_skips": st.lists(st.tuples(texts.filter(bool), texts), max_size=3),
        "refusal_markers": st.lists(texts.filter(str.strip), min_size=1, max_size=5),
        "winsorization_quantile": st.floats(0.51, 1.0),
        "orthogonalize_direction": st.booleans(),
        "seed": st.none() | st.integers(0, 2**31 - 1),
        "n_trials": st.integers(1, 100_000),
    },
)


@given(configurations)
def test_printed_settings_read_back_as_they_were(changes: dict[str, Any]) -> None:
    settings = load_settings(changes, environment=False)
    text = to_toml(settings)
    tomllib.loads(text)
    path = Path("printed.toml")
    path.write_text(text, encoding="utf-8")
    assert load_settings(config=path) == settings
    assert load_settings(config=str(path)) == settings, "a program may give it as text"


@given(configurations)
def test_recorded_settings_read_back_as_they_were(changes: dict[str, Any]) -> None:
    settings = load_settings(changes, environment=False)
    assert load_settings(settings.model_dump(mode="json"), environment=False) == settings


def test_where_things_lie_is_no_part_of_a_runs_identity() -> None:
    one = load_settings({"model": "a", "runs_dir": "x", "n_trials": 5, "batch_size": 3})
    other = load_settings({"model": "b", "runs_dir": "y", "n_trials": 50})
    assert identity(one) == identity(other)
    assert identity(one) != identity(load_settings({"model": "a", "seed": 4}))


@pytest.mark.parametrize(
    ("former", "present"), [("none", "subtract"), ("pre", "row_normalised"), ("full", "norm_preserving")]
)
def test_a_former_name_is_read_wherever_settings_are(
    former: str, present: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load_settings(edit_method=present)
    assert load_settings(parsed("--row-normalization", former)) == expected
    assert SettingsForm(parsed("--row-normalization", former)).settings == expected
    record = to_record(expected)
    del record["edit_method"], record["direction_method"]
    assert from_record({**record, "row_normalization": former}, expected, "run.json") == expected
    file = tmp_path / "older.toml"
    file.write_text(f"row_normalization = '{former}'\n")
    assert load_settings(config=file) == expected
    # Both names are one setting: what comes from above wins, whichever it is called there.
    assert load_settings(parsed("--edit-method", "subtract"), config=file).edit_method == "subtract"
    monkeypatch.setenv("HERETIC_TUI_ROW_NORMALIZATION", former)
    assert load_settings() == expected
    assert load_settings(parsed("--row-normalization", former, "--edit-method", present)) == expected
    # What was given under the former name can be changed on Setup.
    form = SettingsForm(parsed("--row-normalization", former))
    form.set("edit_method", "subtract")
    assert form.settings.edit_method == "subtract"


def test_a_former_name_is_no_flag_that_is_listed() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, Settings.model_fields)
    assert "row-normalization" not in parser.format_help()
    assert "(norm_preserving, row_normalised, subtract) [norm_preserving]" in " ".join(parser.format_help().split())


@pytest.mark.parametrize(
    ("former", "present"), [("none", "subtract"), ("pre", "row_normalised"), ("full", "norm_preserving")]
)
def test_a_run_of_before_has_the_identity_that_it_had(former: str, present: str) -> None:
    found = identity(load_settings(edit_method=present))
    assert found["row_normalization"] == former
    assert {"edit_method", "direction_method"} & set(found) == set()


def test_one_direction_method_is_the_identity_that_it_was() -> None:
    one = identity(load_settings(direction_method="discriminant"))
    assert one["direction_method"] == "discriminant"
    assert one == identity(load_settings(direction_method=["discriminant"]))
    several = identity(load_settings(parsed("--direction-method", "mean_difference", "clusters")))
    assert several["direction_method"] == ["mean_difference", "clusters"]
    for other in ({"directions_per_layer": 2}, {"layer_mask": True}):
        assert identity(load_settings(**other)) != identity(load_settings())
    # What lies in files is known by its content.
    elsewhere = load_settings(keep_prompts=["a.txt"], direction_file="b.safetensors")
    assert identity(elsewhere) == identity(load_settings())
    record = {**to_record(load_settings()), "direction_method": "clusters"}
    assert from_record(record, load_settings(), "run.json").direction_method == ["clusters"]
    for wrong in ([], ["leace", "leace"], ["none of them"]):
        with pytest.raises(UsageError, match="direction_method"):
            load_settings(direction_method=wrong)


def test_runs_of_the_time_before_early_stop_go_on_with_it() -> None:
    assert "early_stop" not in identity(load_settings({"model": "a"}))
    assert identity(load_settings({"model": "a"})) != identity(load_settings({"model": "a", "early_stop": False}))


def test_consent_is_not_taken_from_a_file_that_nobody_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("heretic.toml")
    file.write_text("trust_remote_code = true\nn_trials = 7\n")
    with pytest.raises(UsageError, match="read unasked: give --trust-remote-code, or name the file"):
        load_settings()
    assert load_settings(config=file).trust_remote_code
    assert load_settings({"trust_remote_code": True}).trust_remote_code
    assert not load_settings({"trust_remote_code": False}).trust_remote_code
    file.write_text("n_trials = 7\n")
    assert load_settings().n_trials == 7

"""The settings of the interface: what is in their file, what is refused, and what is written back."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.settings.interface import Interface, Notify, keep_theme, load_interface
from heretic_tui.settings.toml import interface_toml


def test_without_a_file_the_built_in_settings_hold(tmp_path: Path) -> None:
    assert load_interface(tmp_path / "none.toml") == Interface()


def test_a_file_sets_theme_keys_columns_and_calls(tmp_path: Path) -> None:
    path = tmp_path / "interface.toml"
    path.write_text(
        'theme = "nord"\nascii = true\n[keys]\n"trials.sort" = "S,o"\n[columns]\ntrials = ["trial"]\n'
        '[notify]\nbell = false\ncommand = ["ping-me", "now"]\non = ["failed"]\n',
        encoding="utf-8",
    )
    found = load_interface(path)
    assert (found.theme, found.ascii, found.mouse) == ("nord", True, True)
    assert found.keys == {"trials.sort": "S,o"}
    assert found.columns == {"trials": ["trial"]}
    calls = found.notify.calls()
    assert (calls.bell, calls.command, set(calls.on)) == (False, ["ping-me", "now"], {"failed"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("themes = 1", "there is no setting 'themes': did you mean 'theme'?"),
        ("[notify]\nbel = true", "there is no setting 'notify.bel': did you mean 'bell'?"),
        ('[notify]\non = ["lunch"]', "notify.on.0 cannot be 'lunch'"),
        ("ascii = [", "is not valid TOML"),
        ("[keys]\nx = 1", "keys.x cannot be 1"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_the_reason(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "interface.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        load_interface(path)
    assert str(path) in str(refused.value)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "interface.toml"
    path.write_bytes(b'theme = "\xff"')
    with pytest.raises(UsageError, match="UTF-8"):
        load_interface(path)


def test_a_chosen_theme_is_kept_and_nothing_else_changes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "interface.toml"
    keep_theme("nord", path)
    assert load_interface(path).theme == "nord"
    path.write_text('# mine\ntheme = "nord"  # cold\n\n[keys]\n"app.help" = "h" # for me\n', encoding="utf-8")
    keep_theme("heretic-light", path)
    assert path.read_text() == '# mine\ntheme = "heretic-light"  # cold\n\n[keys]\n"app.help" = "h" # for me\n'


def test_a_theme_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    path = tmp_path / "interface.toml"
    path.write_text("theme = [", encoding="utf-8")
    with pytest.raises(HereticError, match="not valid TOML"):
        keep_theme("nord", path)
    assert path.read_text() == "theme = ["


def test_what_config_prints_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "interface.toml"
    given = Interface(
        theme="nord",
        keys={"trials.sort": "z"},
        columns={"trials": ["trial", "kl"]},
        notify=Notify(command=["ping-me"], on=["failed"]),
    )
    text = interface_toml(given, {"trials.sort": ("s", "sort the table"), "app.help": ("question_mark", "help")})
    path.write_text(text, encoding="utf-8")
    assert load_interface(path) == given
    assert '# "app.help" = "question_mark"  # help' in text

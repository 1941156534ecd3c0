"""Settings from flags before environment before a TOML file before defaults, merged and checked."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from heretic_tui.errors import UsageError
from heretic_tui.files import read_bytes, user_path
from heretic_tui.settings.describe import Setting
from heretic_tui.settings.older import with_present_names
from heretic_tui.settings.prompt_sets import DEFAULT_SETS, PromptSet
from heretic_tui.settings.schema import Settings
from heretic_tui.words import nearest, quoted

ENV_PREFIX = "HERETIC_TUI_"
CONFIG_FILE = "heretic.toml"


class WrongValue(UsageError):
    """A value that does not fit its setting.

    Attributes:
        setting: that it was given for.
        advice: what it takes, or why it cannot be this value.

    Args:
        why: why it cannot be, where that is more than that the setting takes something else.
    """

    def __init__(self, setting: Setting, origin: str, wrong: object, why: str = "") -> None:
        self.setting = setting
        if isinstance(wrong, list) and setting.choices:
            # Of several the one that is meant.
            wrong = next((each for each in wrong if each not in setting.choices), wrong)
        hint = nearest(wrong, setting.choices) if isinstance(wrong, str) else ""
        self.advice = f"{why}." if why else f"{setting.expected}{hint or '.'}"
        said = why or f"expected {setting.expected}, not {quoted(wrong)}{hint}"
        super().__init__(f"{setting.key} (from {origin}): {said}")


def load_settings(
    given: Mapping[str, object] | None = None,
    /,
    *,
    config: str | Path | None = None,
    base: Mapping[str, object] | None = None,
    environment: bool = True,
    **settings: object,
) -> Settings:
    """The effective settings.

    Args:
        given: from the command line, by field name; parts of a prompt set as a nested mapping.
        config: TOML file; None: `heretic.toml` in the working folder, where there is one.
        base: defaults in place of the built-in ones.
        environment: false leaves out variables and the file in the working folder.
        settings: the same as `given`, as a program writes them: `load_settings(model="a/b", n_trials=50)`.

    Raises:
        UsageError: an unknown key (with the nearest known one), a value out of range, a file that cannot be read.
    """
    merged: dict[str, object] = dict(base or {})
    found_here = Path(CONFIG_FILE) if environment and Path(CONFIG_FILE).is_file() else None
    file = user_path(str(config)) if config else found_here
    layers: list[tuple[Mapping[str, object], str]] = [(read_toml(file), str(file))] if file else []
    layers += [(_read_environment(), "the environment")] if environment else []
    layers += [(given or {}, "the command line"), (settings, "the program")]
    origins: dict[str, str] = {}
    for layer, origin in layers:
        for name, value in with_present_names(layer, origin).items():
            origins[name] = origin
            if name in DEFAULT_SETS and isinstance(value, dict):
                origins.update({f"{name}.{part}": origin for part in value})
            merged[name] = _on_top(value, merged.get(name)) if name in DEFAULT_SETS else value
    found = validated(merged, "the settings", origins)
    if found.trust_remote_code and config is None and file and origins.get("trust_remote_code") == str(file):
        # It may have come with a model or a repository that somebody else wrote.
        raise UsageError(
            f"trust_remote_code stands in the {CONFIG_FILE} of the working folder, which was read unasked: give "
            f"--trust-remote-code, or name the file (--config {CONFIG_FILE})"
        )
    return found


def _on_top(prompts: object, below: object) -> object:
    """A prompt set as one source gives it, over what the sources below give: one that names a dataset replaces them."""
    given = {"dataset": prompts} if isinstance(prompts, str) else prompts
    if isinstance(given, dict) and "dataset" not in given and isinstance(below, dict):
        return {**below, **given}
    return given


def validated(values: Mapping[str, object], where: str, origins: Mapping[str, str] | None = None) -> Settings:
    """Values by name as settings.

    Args:
        where: where the values are from, for messages.
        origins: where each of them is from, by name, if they are not all from one place; and of prompt sets each part
            (`good_prompts.split`), since each may be from another one.

    Raises:
        UsageError: an unknown name, or a value that does not fit.
    """
    origins = origins or {}
    _check_names(values, where, origins)
    try:
        return Settings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name, *rest = map(str, first["loc"])
        part = next((word for word in rest if name in DEFAULT_SETS and word in PromptSet.model_fields), None)
        setting = Setting(name, part)
        origin = origins.get(setting.key, origins.get(name, where))
        # A check that says why is told so; other errors are the library's words.
        why = str(first["ctx"]["error"]) if first["type"] == "value_error" else ""
        raise WrongValue(setting, origin, first["input"], why) from error


def _check_names(values: Mapping[str, object], where: str, origins: Mapping[str, str]) -> None:
    for name, value in values.items():
        if name not in Settings.model_fields:
            origin = origins.get(name, where)
            raise UsageError(f"unknown setting {quoted(name)} in {origin}{nearest(name, Settings.model_fields)}")
        if name in DEFAULT_SETS and isinstance(value, dict):
            for part in value:
                if part not in PromptSet.model_fields:
                    hint = nearest(part, PromptSet.model_fields)
                    whole = f"{name}.{part}"
                    origin = origins.get(whole, origins.get(name, where))
                    raise UsageError(f"unknown setting {quoted(whole)} in {origin}{hint}")


def read_toml(path: Path) -> dict[str, object]:
    """
    Raises:
        UsageError: a file that cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(read_bytes(path).decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise UsageError(f"cannot read settings from {path}: {error.strerror}") from error
    except RecursionError as error:
        raise UsageError(f"{path} is nested too deeply to be read") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start})") from error
    # An integer of more than 4,300 digits is a ValueError, as is what is no TOML.
    except ValueError as error:
        reason = error if isinstance(error, tomllib.TOMLDecodeError) else "a number of more than 4,300 digits"
        raise UsageError(f"{path} is not valid TOML: {str(reason)[:200]}") from error


def _read_environment() -> dict[str, object]:
    """HERETIC_TUI_NAME, and HERETIC_TUI_SET__PART for a part of a set."""
    found: dict[str, object] = {}
    for variable, text in sorted(os.environ.items()):
        if variable.upper().startswith(ENV_PREFIX):
            name, _, part = variable[len(ENV_PREFIX) :].lower().partition("__")
            if not part:
                found[name] = {"dataset": text} if name in DEFAULT_SETS else text
            elif isinstance(parts := found.setdefault(name, {}), dict):
                parts[part] = text
    return found

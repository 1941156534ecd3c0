"""Settings of the interface: theme, keys, columns, notification. They are in a file of their own, as they belong to a
person and her terminal, and not to a run."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Literal

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tomlkit.exceptions import TOMLKitError

from heretic_tui.calls import HAPPENINGS, Calls, Osc
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import read_bytes, replaced
from heretic_tui.words import nearest, quoted

Happening = Literal["done", "failed", "stopped", "stalled", "exported", "queue"]


class Notify(BaseModel):
    """How a person is called who looks elsewhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bell: bool = Field(True, description="ring the terminal's bell")
    osc: Osc = Field("auto", description="notice of the desktop: auto, 9, 777 or off")
    command: str | list[str] = Field(
        "", description="run at each call: a text for `sh -c`, or a program with its arguments; empty: none"
    )
    on: list[Happening] = Field(
        ["done", "failed", "stalled", "exported", "queue"], description=f"for which of {', '.join(HAPPENINGS)}"
    )

    def calls(self) -> Calls:
        """The same for those who call."""
        return Calls(bell=self.bell, osc=self.osc, command=self.command or None, on=frozenset(self.on))


class Interface(BaseModel):
    """The whole configuration of the screens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    theme: str = Field(
        "", description="heretic-dark, heretic-light, heretic-ansi or one of Textual's; empty: by the terminal"
    )
    ascii: bool = Field(False, description="draw with ASCII characters only")
    mouse: bool = Field(True, description="take the mouse; false leaves it to the terminal")
    notify: Notify = Field(Notify(), description="how you are told when a run is done, has failed, or is stuck")
    columns: dict[str, list[str]] = Field({}, description="columns of a table by its name, from left to right")
    keys: dict[str, str] = Field({}, description="keys of an action by its name; several with commas between them")


def interface_file() -> Path:
    """Where the settings of the interface are."""
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    try:
        return Path(home).expanduser() / "heretic-tui" / "interface.toml"
    except RuntimeError:  # no such user
        return Path(home) / "heretic-tui" / "interface.toml"


def load_interface(path: Path | None = None) -> Interface:
    """The settings of the interface; the built-in ones where there is no file.

    Raises:
        UsageError: for a file that cannot be read, an unknown key (with the nearest known one), or a wrong value.
    """
    path = path or interface_file()
    try:
        text = read_bytes(path).decode("utf-8")
    except FileNotFoundError:
        return Interface()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no UTF-8 text: {error.reason}") from error
    try:
        return Interface.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise UsageError(f"{path}: {_in_words(error)}") from error


def _in_words(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        place = Notify if first["loc"][0] == "notify" else Interface
        return f"there is no setting {quoted(key)}{nearest(str(first['loc'][-1]), place.model_fields)}"
    return f"{key} cannot be {quoted(first['input'])}"


def keep_theme(theme: str, path: Path | None = None) -> None:
    """Write the theme into the file; what else is in it, comments too, stays as it is.

    Raises:
        HereticError: when the file cannot be written, or is no TOML.
    """
    path = path or interface_file()
    try:
        document = tomlkit.parse(read_bytes(path).decode("utf-8"))
    except FileNotFoundError:
        document = tomlkit.document()
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    document["theme"] = theme
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with replaced(path) as beside:
            beside.write_text(tomlkit.dumps(document), encoding="utf-8")
    except OSError as error:
        raise HereticError(f"cannot write {path}: {error.strerror}") from error

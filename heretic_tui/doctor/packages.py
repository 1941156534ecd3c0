"""The packages that are installed, beside what the program asks for and what it was tested with."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

import heretic_tui
from heretic_tui.doctor.probe import Finding
from heretic_tui.words import counted

NAME = "heretic-tui"
_FOLDER = Path(heretic_tui.__file__).parent
# What an extra is for. One that people of the program alone need is not told as missing.
_PURPOSES = {
    "benchmarks": "benchmarks of lm-evaluation-harness in reviews",
    "cluster": "trials on several GPUs or machines (Ray)",
    "research": "maps of residuals, and plots as pictures",
    "review": "the language of an answer, in reviews",
}
_FOR_DEVELOPERS = ("dev",)
# So many are named; of the others their number is told.
_NAMED = 4


@dataclass(frozen=True)
class Asked:
    """What the program asks for.

    Attributes:
        python: versions of Python, such as >=3.11.
        needed: packages without which it does not work, as PEP 508 has it.
        extras: further ones, by the extra that brings them.
        tested: versions that the program was tested with, by package; empty where they are not known.
    """

    python: str
    needed: Sequence[str]
    extras: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tested: Mapping[str, str] = field(default_factory=dict)


def asked_for(folder: Path = _FOLDER) -> Asked:
    """What the program asks for: by the pyproject.toml of a checkout (what was told when it was installed may be
    older), else by the metadata of the installed package.

    Args:
        folder: of the package.

    Raises:
        importlib.metadata.PackageNotFoundError: where there is neither.
    """
    project = folder.parent / "pyproject.toml"
    if project.is_file():
        told = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        if told.get("name") == NAME:
            tested = _versions(folder.parent / "constraints.txt")
            return Asked(told["requires-python"], told["dependencies"], told["optional-dependencies"], tested)
    told_of = importlib.metadata.metadata(NAME)
    extras: dict[str, list[str]] = {name: [] for name in told_of.get_all("Provides-Extra") or ()}
    needed: list[str] = []
    for text in importlib.metadata.requires(NAME) or ():
        # As wheels have it: matplotlib>=3.9; extra == 'research'
        mark = re.search(r"""\bextra\s*==\s*['"]([\w.-]+)['"]""", text)
        (extras.setdefault(mark[1], []) if mark else needed).append(text)
    return Asked(told_of["Requires-Python"] or "", needed, extras, _versions(folder / "constraints.txt"))


def _versions(file: Path) -> dict[str, str]:
    """The versions in a file of constraints, by package; none where there is no such file."""
    if not file.is_file():
        return {}
    pairs = (line.strip().split("==") for line in file.read_text(encoding="utf-8").splitlines() if "==" in line)
    return {canonicalize_name(name): version for name, version in pairs}


def look_at_python() -> list[Finding]:
    """Python's own version."""
    asked, here = Requirement(f"python{asked_for().python}").specifier, platform.python_version()
    if asked.contains(here, prereleases=True):
        return [Finding(name="Python", state="ok", said=f"{here} (asked for: {asked})")]
    return [Finding(name="Python", state="fix", said=here, todo=f"install Python {asked} and make a new environment")]


def look_at_packages() -> list[Finding]:
    """What the program cannot do without, and versions that it was not tested with."""
    return package_findings(asked_for(), _installed())


def look_at_extras() -> list[Finding]:
    """What more there can be, and what it is for."""
    return extra_findings(asked_for(), _installed())


def package_findings(asked: Asked, installed: Mapping[str, str]) -> list[Finding]:
    """The same, of a program that asks for something, where some versions are installed.

    Args:
        installed: version by canonical name.
    """
    wanted = [need for text in asked.needed if _applies(need := Requirement(text), "")]
    if wrong := [words for need in wanted if (words := _problem(need, installed))]:
        todo = "pip install " + " ".join(
            f'"{need.name}{need.specifier}"' for need in wanted if _problem(need, installed)
        )
        found = Finding(name="packages", state="fix", said=_few(wrong), todo=todo)
    else:
        found = Finding(name="packages", state="ok", said=f"all {len(wanted)} that the program asks for")
    return [found, *_tested(asked, installed)]


def _tested(asked: Asked, installed: Mapping[str, str]) -> list[Finding]:
    """Packages that the program asks for by name, in other versions than it was tested with."""
    known = [name for name in _named(asked) if name in installed and name in asked.tested]
    if not known:
        return []
    others = [
        f"{name} {installed[name]} for {asked.tested[name]}"
        for name in known
        if _public(installed[name]) != _public(asked.tested[name])
    ]
    if not others:
        return [Finding(name="tested with", state="ok", said=f"the same versions of {len(known)} packages")]
    said = f"{counted(len(others), 'package')} of another version than the program was tested with, {_few(others)}"
    return [Finding(name="tested with", state="note", said=said, todo="of use where something fails: constraints.txt")]


def versions_here() -> dict[str, str]:
    """The version of each package that people of the program ask for by name, as far as it is there."""
    asked, installed = asked_for(), _installed()
    extras = {extra: texts for extra, texts in asked.extras.items() if extra not in _FOR_DEVELOPERS}
    return {name: installed[name] for name in _named(replace(asked, extras=extras)) if name in installed}


def _named(asked: Asked) -> list[str]:
    """Canonical names of all that is asked for, by the program and its extras."""
    texts = (*asked.needed, *(each for some in asked.extras.values() for each in some))
    return list(dict.fromkeys(canonicalize_name(Requirement(text).name) for text in texts))


def extra_findings(asked: Asked, installed: Mapping[str, str]) -> list[Finding]:
    """Which extras are there, of a program that asks for something."""
    found = []
    for extra, texts in sorted(asked.extras.items()):
        if extra in _FOR_DEVELOPERS:
            continue
        purpose = _PURPOSES.get(extra, "see the README")
        wanted = [need for text in texts if _applies(need := Requirement(text), extra)]
        lacking = [words for need in wanted if (words := _problem(need, installed))]
        if lacking:
            said, todo = f"for {purpose}; {_few(lacking)}", f'pip install "{NAME}[{extra}]"'
            found.append(Finding(name=f"extra {extra}", state="note", said=said, todo=todo))
        else:
            found.append(Finding(name=f"extra {extra}", state="ok", said=f"for {purpose}"))
    return found


def look_at_ray() -> list[Finding]:
    """Whether trials can be measured by several processes."""
    version = _installed().get("ray")
    if version is None:
        said = "not installed: trials are measured in one process (all that one GPU needs)"
        return [Finding(name="Ray", state="ok", said=said)]
    return [Finding(name="Ray", state="ok", said=f"{version}; trials can be measured by several workers")]


def _installed() -> dict[str, str]:
    """The version of every package here, by canonical name."""
    found: dict[str, str] = {}
    for each in importlib.metadata.distributions():
        # Remains of a package that was not taken away whole have no name; the first of two on the path is imported.
        if name := each.metadata["Name"]:
            found.setdefault(canonicalize_name(name), each.version)
    return found


def _applies(need: Requirement, extra: str) -> bool:
    return need.marker is None or need.marker.evaluate({"extra": extra})


def _problem(need: Requirement, installed: Mapping[str, str]) -> str:
    """What is wrong with a package; empty where nothing is."""
    version = installed.get(canonicalize_name(need.name))
    if version is None:
        return f"{need.name} is missing"
    return (
        "" if need.specifier.contains(version, prereleases=True) else f"{need.name} {version} is not {need.specifier}"
    )


def _public(version: str) -> str:
    """A version without what says how it was built."""
    try:
        return Version(version).public
    except InvalidVersion:
        return version


def _few(words: Sequence[str]) -> str:
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return ", ".join(words[:_NAMED]) + more

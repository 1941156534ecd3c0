"""Methods as files: which there are of a kind, without importing any, and the one that has a name.

A method is a module that holds `METHOD`, a class: a file of the folder of its kind, or a module of an installed package
that names it as an entry point in the group of its kind. The file name, or the name of the entry point, is the method's
name in the settings.
"""

from __future__ import annotations

import ast
import importlib
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from inspect import get_annotations
from pathlib import Path
from pkgutil import iter_modules
from typing import TypeVar

from heretic_tui.errors import HereticError, UsageError, one_line, shortened
from heretic_tui.words import nearest, plain, quoted

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """One kind of method.

    Attributes:
        package: the folder of the built-in ones, as a package. Its modules are methods, but for `base`, which holds
            what they have in common.
        group: the group of entry points that other packages add theirs to.
        what: how messages call one.
        first: the built-in ones in their order, where that is not the alphabet's.
    """

    package: str
    group: str
    what: str
    first: tuple[str, ...] = ()


METRICS = Kind("heretic_tui.engine.metrics", "heretic_tui.metrics", "metric")
JUDGES = Kind("heretic_tui.engine.metrics.judges", "heretic_tui.judges", "judge")
EDIT_METHODS = Kind("heretic_tui.engine.edits.methods", "heretic_tui.edit_methods", "edit method")
# The simplest first.
DIRECTION_METHODS = Kind(
    "heretic_tui.engine.directions.methods",
    "heretic_tui.direction_methods",
    "direction method",
    (
        "mean_difference",
        "geometric_median",
        "clusters",
        "principal_components",
        "discriminant",
        "ridge_cleaned",
        "leace",
        "from_file",
    ),
)
# What decides comes first, what takes long last.
CHECKS = Kind(
    "heretic_tui.engine.review.checks",
    "heretic_tui.checks",
    "check",
    ("held_out", "sampling", "second_opinion", "broken", "over_refusal", "damage", "benchmarks"),
)

_NO_METHOD = "base"


@dataclass(frozen=True)
class _Source:
    """The module that a name refers to, and where it comes from, in words."""

    module: str
    origin: str


def names(kind: Kind) -> tuple[str, ...]:
    """The names of the methods of a kind: the built-in ones, then those of other packages, each in alphabetical order
    where the kind has no other. None of them is imported."""
    return tuple(_sources(kind, tuple(sys.path)))


def method(kind: Kind, name: str, protocol: type | None = None) -> type:
    """The `METHOD` of the method with a name.

    Args:
        protocol: a class all of whose public names `METHOD` must have.

    Raises:
        UsageError: no method has the name, or two have it; the module cannot be imported, has no `METHOD`, or one that
            is no class or lacks a name of the protocol.
    """
    sources = _sources(kind, tuple(sys.path))
    if name not in sources:
        hint = nearest(name, sources)
        raise UsageError(f"there is no {kind.what} {quoted(name)}{hint} (there are: {', '.join(sources)})")
    source, *others = sources[name]
    if others:
        origins = " and ".join(each.origin for each in sources[name])
        raise UsageError(
            f"two {kind.what}s are called {quoted(name)}: {origins}; rename the entry point, or uninstall its package"
        )
    where = f"{kind.what} {quoted(name)} ({source.origin})"
    try:
        module = importlib.import_module(source.module)
    # A file may be a program too, which ends where it is imported.
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"the {where} cannot be imported: {one_line(error)}; mend it, or uninstall its package"
        ) from error
    found: object = getattr(module, "METHOD", None)
    if not isinstance(found, type):
        raise UsageError(f"the {where} holds no class METHOD: give {source.module} a line METHOD = NAME_OF_ITS_CLASS")
    if lacking := [member for member in _members(protocol) if not hasattr(found, member)]:
        raise UsageError(f"the METHOD of the {where} lacks {lacking[0]!r}, which every {kind.what} has: add it")
    return found


def made(cls: type[T], kind: Kind, name: str) -> T:
    """A method, from the `METHOD` that has a name.

    Raises:
        UsageError: where it cannot be made.
    """
    try:
        return cls()
    except Exception as error:
        raise UsageError(
            f"the METHOD of the {kind.what} {quoted(name)} cannot be made: {one_line(error)}; it has to be a class "
            "that is called without arguments"
        ) from error


@contextmanager
def calling(kind: Kind, name: str) -> Iterator[None]:
    """Within the block code of a method is run: what goes wrong in it is told with its name.

    Raises:
        HereticError: in place of what was raised. (A lack of memory stays what it is: others can do something about
            it.)
    """
    try:
        yield
    except HereticError:
        raise
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise
        # Whoever mends it needs the place, which the line does not have.
        log.exception("the %s %s failed", kind.what, name)
        raise HereticError(f"the {kind.what} {quoted(name)} failed: {one_line(error)}") from error


def summary(kind: Kind, name: str) -> str:
    """What a method does, in a sentence: the first paragraph of its file, without the name that it opens with. The file
    is read, not imported; the package that it lies in is imported. Empty where that does not succeed."""
    try:
        spec = find_spec(_sources(kind, tuple(sys.path))[name][0].module)
        text = ast.get_docstring(ast.parse(Path(spec.origin or "").read_text(encoding="utf-8"))) if spec else None
    except (Exception, SystemExit):
        log.debug("the file of the %s %s cannot be read", kind.what, name, exc_info=True)
        return ""
    sentence = " ".join((text or "").split("\n\n")[0].split())
    return shortened(sentence.partition(": ")[2] or sentence)


# What is installed does not change while the program runs, but a test or a notebook may add a folder to the path.
@lru_cache(maxsize=32)
def _sources(kind: Kind, path: tuple[str, ...]) -> Mapping[str, tuple[_Source, ...]]:
    spec = find_spec(kind.package)
    folder = spec.submodule_search_locations if spec else None
    found: dict[str, tuple[_Source, ...]] = {
        info.name: (_Source(f"{kind.package}.{info.name}", "the built-in one"),)
        for info in sorted(iter_modules(folder), key=lambda info: (_place(kind, info.name), info.name))
        if not info.ispkg and info.name != _NO_METHOD
    }
    for point in sorted(entry_points(group=kind.group), key=lambda point: point.name):
        # Another name could not be typed as it is.
        if point.name.isidentifier():
            found[point.name] = (*found.get(point.name, ()), _Source(_module(point), _origin(point)))
    return found


def _place(kind: Kind, name: str) -> int:
    return kind.first.index(name) if name in kind.first else len(kind.first)


def _module(point: EntryPoint) -> str:
    # Its own attribute `module` fails for a text that names none.
    return point.value.partition(":")[0].strip()


def _origin(point: EntryPoint) -> str:
    package = f"the package {point.dist.name}" if point.dist else "a package"
    return plain(f"{_module(point)} of {package}")


def _members(protocol: type | None) -> list[str]:
    """The public names that a class and its bases declare."""
    declared = [name for base in getattr(protocol, "__mro__", ()) for name in (*vars(base), *get_annotations(base))]
    return [name for name in dict.fromkeys(declared) if not name.startswith("_")]

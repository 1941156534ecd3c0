"""A run folder that lasts as long as a task."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from heretic_tui.engine.export.temporary import temporary_folder
from heretic_tui.errors import HereticError
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.record import RunRecord

# What of a run's record its findings belong to.
_TAKEN = ("created", "clock", "batch_size", "step_seconds", "response_prefix", "reading", "loaded_as")


@contextmanager
def scratch_folder(like: RunFolder | None = None) -> Iterator[RunFolder]:
    """A run folder that is there within the block.

    Args:
        like: a run of the same model, prompts and settings: what it found before its search is there from the
            beginning.

    Raises:
        HereticError: when there is no room for it.
    """
    with ExitStack() as stack:
        try:
            where = Path(tempfile.gettempdir())
            path = stack.enter_context(temporary_folder(where, "heretic-tui-scratch-"))
        except OSError as error:
            raise HereticError(f"no folder for temporary files can be made: {error.strerror} (see TMPDIR)") from error
        folder = RunFolder(path)
        folder.create()
        if like:
            _take_over(like, folder)
        yield folder


def _take_over(run: RunFolder, scratch: RunFolder) -> None:
    """Copy what a run found before its search. Files that cannot be read are left out: what they held is found again.

    Raises:
        HereticError: where the run's record is damaged, or the disk is full.
    """
    found, checksums = run.read_record(), {}
    for path in (run.baseline, run.responses(None), run.directions):
        name = path.relative_to(run.path)
        with suppress(OSError):
            shutil.copyfile(path, scratch.path / name)
            if known := found.checksums.get(name.as_posix()):
                checksums[name.as_posix()] = known
    scratch.save_record(replace(RunRecord(), **{name: getattr(found, name) for name in _TAKEN}, checksums=checksums))

"""A run folder that lasts as long as a task."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from heretic_tui.engine.export.temporary import temporary_folder
from heretic_tui.errors import HereticError
from heretic_tui.run.folder import RunFolder


@contextmanager
def scratch_folder() -> Iterator[RunFolder]:
    """A run folder that is there within the block.

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
        yield folder

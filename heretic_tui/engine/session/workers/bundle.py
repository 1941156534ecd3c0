"""What a worker is given of a run: its settings and prompts, and what was found before the search, which no worker
measures anew."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace

from heretic_tui import __version__
from heretic_tui.engine.checkpoint.source import commit_of, fingerprint
from heretic_tui.engine.inputs.prompts import PromptSets
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import read_bytes
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.record import RunRecord
from heretic_tui.run.rounds import base_of
from heretic_tui.settings.schema import Settings


@dataclass(frozen=True)
class Bundle:
    """
    Attributes:
        record: run.json.
        files: log-probabilities and responses of the base model, directions (of earlier rounds too), how refusals
            begin: by their paths in the run folder.
        digest: SHA-256 of these.
        host: the machine of the session.
        version: of this program there.
    """

    settings: Settings
    sets: PromptSets
    record: RunRecord
    files: Mapping[str, bytes]
    digest: str
    host: str
    version: str = __version__

    @classmethod
    def of(cls, run: RunInputs) -> Bundle:
        """
        Raises:
            HereticError: where the run folder cannot be read, or the model is not to be found any more.
        """
        folder, record = run.folder, run.record
        files = {
            path.relative_to(folder.path).as_posix(): read_bytes(path)
            for path in (
                folder.baseline,
                folder.responses(None),
                folder.directions,
                folder.openings,
                *base_of(folder).files,
            )
            if path.exists()
        }
        # The same files everywhere, loaded the same way.
        changes: dict[str, object] = {"dtypes": [record.loaded_as], "model_commit": commit_of(run.settings)}
        return cls(
            run.settings.model_copy(update=changes), run.sets, record, files, cls.digest_of(files), platform.node()
        )

    @staticmethod
    def digest_of(files: Mapping[str, bytes]) -> str:
        """SHA-256 of what a run found."""
        digest = hashlib.sha256()
        for name, content in sorted(files.items()):
            digest.update(f"{name}:{len(content)}:".encode() + content)
        return digest.hexdigest()

    def unpack(self, folder: RunFolder) -> RunInputs:
        """Make a folder on the worker's machine hold what the run found.

        Raises:
            HereticError: where it is not whole, or this machine's files of the model, or version, are others.
        """
        if self.version != __version__:
            raise UsageError(
                f"its heretic-tui is {__version__}, and that of the run {self.version}: install the same there"
            )
        if self.digest_of(self.files) != self.digest:
            raise HereticError("what the run found has changed on its way to this worker")
        known = self.record.identity
        if known is not None and fingerprint(self.settings) != known["model"]:
            raise UsageError(
                f"its files of {self.settings.model} are others than those that the run began with: copy them there"
            )
        put_files(folder, self.files)
        here = platform.node() == self.host
        # How many rows are best is another matter on another machine.
        record = self.record if here else replace(self.record, batch_size=None, step_seconds={})
        folder.save_record(record)
        return RunInputs.of(self.settings, self.sets, folder, own=False)


def put_files(folder: RunFolder, files: Mapping[str, bytes]) -> None:
    """Make a worker's folder hold files of the run, which are named by their paths in it."""
    for name, content in files.items():
        path = folder.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)

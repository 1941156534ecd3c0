"""An exported folder to a repository on the Hugging Face Hub."""

from __future__ import annotations

import os
import re
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

from heretic_tui.engine.control import Aborted, Control
from heretic_tui.engine.events import Emit
from heretic_tui.engine.progress import reporter
from heretic_tui.errors import HereticError, UsageError, one_line

_NO_TOKEN = "no Hub token: set HF_TOKEN, log in with `hf auth login`, or type one"
_LEFT = "the folder is whole, `hf upload {} {}` goes on with it"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def check_name(repository: str) -> None:
    """Raise a UsageError for what cannot be a repository's name."""
    if not _NAME.fullmatch(repository) or ".." in repository or "--" in repository:
        raise UsageError(f"{repository!r} is no repository name: use NAME or OWNER/NAME of letters, digits, - _ .")


def check_access(repository: str, token: str | None) -> None:
    """See that there is a token which the Hub knows, before work is begun that ends in an upload.

    Raises:
        UsageError: a wrong name, no token, one that the Hub rejects, or no Hub.
    """
    check_name(repository)
    try:
        HfApi(token=token).whoami()
    except LocalTokenNotFoundError as error:
        raise UsageError(_NO_TOKEN) from error
    except Exception as error:  # the client's HTTP library, and so its errors, differ between versions
        raise UsageError(f"the Hub does not take the token for {repository}: {one_line(error)}") from error


def upload(folder: Path, repository: str, private: bool, token: str | None, emit: Emit, control: Control) -> str:
    """Create the repository where it is not there, send every file, and commit them all at once: a visitor sees the
    whole export or nothing of it. What was sent before an interruption is not sent again.

    Args:
        token: None: from HF_TOKEN, or the file that `hf auth login` wrote.

    Returns:
        The repository's address.

    Raises:
        UsageError: a wrong name, no token or one that the Hub rejects.
        HereticError: when the Hub cannot be reached or breaks off.
        Aborted: from the control, between files.
    """
    check_name(repository)
    api = HfApi(token=token)
    try:
        control.checkpoint()
        name = api.create_repo(repository, private=private, exist_ok=True).repo_id
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        report, sent, total = reporter(emit, "upload, MB"), 0, sum(path.stat().st_size for path in paths)
        operations = []
        for path in paths:
            control.checkpoint()
            operation = CommitOperationAdd(path_in_repo=path.relative_to(folder).as_posix(), path_or_fileobj=path)
            api.preupload_lfs_files(name, [operation])
            operations.append(operation)
            sent += path.stat().st_size
            report(round(sent / 1e6), max(1, round(total / 1e6)))
        control.checkpoint()
        api.create_commit(name, operations, commit_message="An ablated model, written by heretic-tui")
    except LocalTokenNotFoundError as error:
        raise UsageError(_NO_TOKEN) from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            raise UsageError(f"the Hub rejects the token for {repository} (it needs write access)") from error
        raise HereticError(
            f"the upload to {repository} failed: {one_line(error)}; {_LEFT.format(repository, folder)}"
        ) from error
    except (Aborted, UsageError):
        raise
    except Exception as error:  # the client's HTTP library, and so its errors, differ between versions
        raise HereticError(
            f"the upload to {repository} broke off: {one_line(error)}; {_LEFT.format(repository, folder)}"
        ) from error
    return f"{os.environ.get('HF_ENDPOINT', 'https://huggingface.co')}/{name}"

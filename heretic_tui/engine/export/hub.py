"""An exported folder to a repository on the Hugging Face Hub."""

from __future__ import annotations

import functools
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
from huggingface_hub.utils._http import get_session

from heretic_tui.control import Aborted
from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.work import Work

_NO_TOKEN = "no Hub token: set HF_TOKEN, log in with `hf auth login`, or type one"
_LEFT = "the folder is whole, `hf upload {} {}` goes on with it"
# Seconds without any data on a connection, in either direction. The client itself would wait for ever.
PATIENCE = 100.0
# Seconds after which the user is told that an answer is waited for; after twice as many again, and so on.
TELL_AFTER = 8.0

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def check_name(repository: str) -> None:
    """Raise a UsageError for what cannot be a repository's name."""
    if not _NAME.fullmatch(repository) or ".." in repository or "--" in repository:
        raise UsageError(f"{repository!r} is no repository name: use NAME or OWNER/NAME of letters, digits, - _ .")


def check_access(repository: str, token: str | None) -> None:
    """Check that there is a token which the Hub knows, before work begins that ends with an upload.

    Raises:
        UsageError: a wrong name, no token, one that the Hub rejects, or no Hub.
    """
    check_name(repository)
    try:
        with _patience():
            HfApi(token=token).whoami()
    except LocalTokenNotFoundError as error:
        raise UsageError(_NO_TOKEN) from error
    except Exception as error:  # the client's HTTP library, and so its errors, differ between versions
        raise UsageError(f"the Hub does not take the token for {repository}: {one_line(error)}") from error


def upload(folder: Path, repository: str, private: bool, token: str | None, work: Work) -> str:
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

    def waiting(what: str, call: Callable[[], T]) -> T:
        return _waiting(what, call, work)

    try:
        work.checkpoint()
        name = waiting(repository, lambda: api.create_repo(repository, private=private, exist_ok=True)).repo_id
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        report, sent, total = work.progress("upload, MB"), 0, sum(path.stat().st_size for path in paths)
        operations = []
        for path in paths:
            work.checkpoint()
            operation = CommitOperationAdd(path_in_repo=path.relative_to(folder).as_posix(), path_or_fileobj=path)
            size = path.stat().st_size
            send = functools.partial(api.preupload_lfs_files, name, [operation])
            waiting(f"{path.name} ({size / 1e6:,.0f} MB)", send)
            operations.append(operation)
            sent += size
            report(round(sent / 1e6), max(1, round(total / 1e6)))
        work.checkpoint()
        message = "An ablated model, written by heretic-tui"
        waiting("the commit", lambda: api.create_commit(name, operations, commit_message=message))
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


@contextmanager
def _patience() -> Iterator[None]:
    """Within the block requests to the Hub end when nothing moves."""
    session = get_session()
    before = session.timeout
    session.timeout = PATIENCE
    try:
        yield
    finally:
        session.timeout = before


def _waiting(what: str, call: Callable[[], T], work: Work) -> T:
    """The result of a request that may take long: an abort is heard meanwhile, and waiting is told.

    Raises:
        Aborted: from the control; the request is left to itself.
    """
    ended = threading.Event()
    results: list[T] = []
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            with _patience():
                results.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again on the thread that waits
            errors.append(error)
        ended.set()

    start, tell = time.monotonic(), TELL_AFTER
    threading.Thread(target=ask, name="hub", daemon=True).start()
    while not ended.wait(0.1):
        work.checkpoint()
        if time.monotonic() - start >= tell:
            work.note(f"waiting for the Hub's answer for {tell:.0f} s: {what}")
            tell *= 2
    if errors:
        raise errors[0]
    return results[0]

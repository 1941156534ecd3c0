"""Ray at hand: whether it is there and reaches the cluster that the settings name, before anything is loaded; a cluster
of the run's own on this machine, and its end."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial

from heretic_tui.engine.measuring.cluster_pool import NoWorkersError
from heretic_tui.errors import UsageError, one_line
from heretic_tui.machine import processors
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.workers import lacking_for_workers

# Bytes of the object store beyond what the workers are given of the run.
_STORE = 1 << 28
# Seconds until a machine has to take a connection, and until a cluster has to say what it is. A library that is loaded
# while all processors compute takes its time.
_CONNECT = 5.0
_PROBE = 30.0
# Seconds between two looks whether a cluster is still there, and after which one that is not has gone. (Ray itself ends
# this process after a minute of that, whatever it does, and says nothing to anybody.)
_LOOK = 5.0
_GONE = 20.0
# Joins a cluster, and says at which address it is or why that failed. Ray tries for more than a minute, and then ends
# the process that tries: it is not to be this one.
_PROBE_PROGRAM = """
import json, sys
try:
    import ray
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level=40)
    print(json.dumps({"address": ray.get_runtime_context().gcs_address}))
    ray.shutdown()
except BaseException as error:
    print(json.dumps({"error": " ".join(str(error).split()) or type(error).__name__}))
"""
# What Ray sets, or is told by: nothing is sent to anybody, and whoever connects to a cluster of the run's own has to
# know a token, which is written nowhere.
_USAGE, _MODE, _TOKEN = "RAY_USAGE_STATS_ENABLED", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"
# Characters of a reason.
_LONGEST = 200

log = logging.getLogger(__name__)


def find_cluster(settings: Settings) -> str | None:
    """See that there is Ray, and that the cluster which the settings name is there and of the same versions. Returns
    its address; None where workers are to run on a cluster of the run's own. Nothing is started.

    Raises:
        UsageError: where one of that is not so.
    """
    if lacking := lacking_for_workers(settings):
        raise UsageError(lacking)
    address = settings.ray_address
    if address is None:
        return None
    if "://" in address:
        raise UsageError(
            f"--ray-address {address}: Ray's client cannot be used; start the run on a machine of the cluster, with "
            "--ray-address auto"
        )
    if address != "auto":
        _connect(address)
    try:
        found = subprocess.run(
            [sys.executable, "-c", _PROBE_PROGRAM, address], capture_output=True, text=True, timeout=_PROBE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _unreachable(address, f"no answer within {_PROBE:.0f} seconds: is it the port of Ray?") from error
    answer = _last_json(found.stdout)
    if isinstance(said := answer.get("address"), str):
        return said
    log.warning("the probe of the Ray cluster ended with %d: %s", found.returncode, found.stderr[-2000:])
    if "InvalidAuthToken" in found.stderr:
        raise _unreachable(
            address,
            "it knows another token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or ~/.ray/auth_token, as there",
        )
    raise _unreachable(address, _reason(str(answer.get("error") or f"the probe ended with {found.returncode}")))


def _connect(address: str) -> None:
    """
    Raises:
        UsageError: where nobody listens at an address.
    """
    host, colon, port = address.rpartition(":")
    if not (colon and host and re.fullmatch("[0-9]{1,5}", port, re.ASCII) and 0 < int(port) < 1 << 16):
        raise UsageError(f"--ray-address {address}: auto, or a host and a port, such as 10.0.0.1:6379")
    try:
        _reach(address)
    except OSError as error:
        raise _unreachable(address, error.strerror or one_line(error)) from error


def _reach(address: str) -> None:
    """
    Raises:
        OSError: where nobody listens at a host and port.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT).close()


def _unreachable(address: str, reason: str) -> UsageError:
    if address == "auto":
        return UsageError(f"--ray-address auto: {reason}")
    return UsageError(f"no Ray cluster can be reached at {address} (--ray-address): {reason}")


def _reason(error: str) -> str:
    """What Ray says, in a line that a person can use."""
    if "Could not find any running Ray instance" in error:
        return "no Ray cluster runs on this machine: ray start --head starts one"
    versions = re.search(
        r"ersion mismatch.*?started with:\s*Ray: (\S+)\s*Python: (\S+).*?started with:\s*Ray: (\S+)\s*Python: (\S+)",
        error,
    )
    if versions:
        theirs, their_python, ours, our_python = (each.rstrip(".") for each in versions.groups())
        return (
            f"the cluster has Ray {theirs} and Python {their_python}, this program {ours} and {our_python}: install "
            "the same versions on all machines"
        )
    return one_line(RuntimeError(error))[:_LONGEST]


def _last_json(text: str) -> dict[str, object]:
    for line in reversed(text.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return {}


@contextmanager
def _outliving_the_terminal() -> Iterator[None]:
    """Processes that are started within the block do not end when the terminal is closed: the run goes on then. This
    works on any thread, and what they start is the same."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@cache
def _token() -> str:
    """Ray remembers the first one that a process has."""
    return secrets.token_hex(32)


@dataclass
class Cluster:
    """A cluster that this process has joined.

    Attributes:
        own: the folder of one that was started for the run, and ends with it; None for one that runs by itself.
        before: variables of the environment as they were.
        address: host and port of the service that Ray cannot do without.
        there: whether it answered when it was looked at last.
    """

    own: str | None = None
    before: dict[str, str | None] = field(default_factory=dict)
    joined: bool = True
    address: str = ""
    there: bool = True
    _looked: float = 0.0
    _answered: float = 0.0

    @classmethod
    def join(cls, settings: Settings, needed: int) -> Cluster:
        """Join the cluster that the settings name, or start one on this machine.

        Args:
            needed: bytes that the object store of a new one has to hold.

        Raises:
            UsageError: where it cannot be reached or started.
        """
        address = find_cluster(settings)
        import ray

        if ray.is_initialized():
            # By whoever uses this program as a library.
            return cls(joined=False, address=ray.get_runtime_context().gcs_address)
        cluster = cls(before={name: os.environ.get(name) for name in (_USAGE, _MODE, _TOKEN)})
        os.environ.setdefault(_USAGE, "0")
        start = partial(ray.init, log_to_driver=False, logging_level=logging.ERROR)
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            if address is not None:
                start(address=address)
                cluster.address = address
                return cluster
            os.environ.setdefault(_TOKEN, _token())
            cluster.own = tempfile.mkdtemp(prefix="heretic-ray-")
            with _outliving_the_terminal():
                # By that name, since Ray would join whatever cluster it finds on this machine.
                start(
                    address="local",
                    num_cpus=processors(),
                    include_dashboard=False,
                    object_store_memory=needed + _STORE,
                    _temp_dir=cluster.own,
                )
            cluster.address = ray.get_runtime_context().gcs_address
        except Exception as error:
            # Whatever its processes, its sockets or the network may say.
            cluster.leave()
            if address is not None:
                raise _unreachable(address, _reason(one_line(error))) from error
            raise UsageError(f"Ray cannot be started on this machine: {one_line(error)[:_LONGEST]}") from error
        finally:
            # It takes the handlers of signals, which are ours: a first one ends the search, not the process.
            if threading.current_thread() is threading.main_thread():
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        return cluster

    def look(self, at_once: bool = False) -> bool:
        """Whether it is there, as it was seen a few seconds ago, or now. Nothing else is to be asked of Ray where it is
        not: that would wait for it, and end this process.

        Raises:
            NoWorkersError: where it has not answered for longer.
        """
        now = time.monotonic()
        if not at_once and self.there and now - self._looked < _LOOK:
            return True
        self._looked = now
        try:
            _reach(self.address)
            self.there, self._answered = True, now
        except OSError as error:
            if self.there:
                self.there, self._answered = False, now
                log.warning("the Ray cluster at %s does not answer: %s", self.address, error)
            elif now - self._answered > _GONE:
                where = "Ray on this machine" if self.own else f"the Ray cluster at {self.address}"
                again = "start" if self.own else "start it again, then"
                raise NoWorkersError(
                    f"{where} has gone away: {again} the same command, which goes on from the last trial"
                ) from error
        return self.there

    def leave(self) -> None:
        """Leave it, and end it where it was started for the run."""
        import ray

        if not self.joined:
            return
        self.joined = False
        ray.shutdown()
        if self.own:
            shutil.rmtree(self.own, ignore_errors=True)
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

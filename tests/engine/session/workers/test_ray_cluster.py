"""What is said of a Ray cluster that is not there, before anything is loaded."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from heretic_tui.engine.measuring.cluster_pool import NoWorkersError
from heretic_tui.engine.session.workers import ray_cluster
from heretic_tui.engine.session.workers.crew import processors_of_one
from heretic_tui.engine.session.workers.ray_cluster import Cluster, find_cluster
from heretic_tui.errors import UsageError
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings


def settings_at(address: str | None) -> Settings:
    return load_settings({"model": "m", "workers": "2", "ray_address": address}, environment=False)


@pytest.fixture
def silent() -> Iterator[str]:
    """Somebody listens there, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nonsense", "auto, or a host and a port, such as 10.0.0.1:6379"),
        ("host:port", "auto, or a host and a port"),
        ("10.0.0.1:0", "auto, or a host and a port"),
        ("ray://10.0.0.1:10001", "start the run on a machine of the cluster, with --ray-address auto"),
    ],
)
def test_what_is_no_address_is_told(address: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        find_cluster(settings_at(address))


def test_a_port_at_which_nobody_listens_is_told_at_once(silent: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(UsageError, match=rf"no Ray cluster can be reached at {closed} .*refused"):
        find_cluster(settings_at(closed))


def test_what_listens_and_is_no_cluster_does_not_hold_up_the_run(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "_PROBE", 0.2)
    with pytest.raises(UsageError, match="no answer within 0 seconds: is it the port of Ray"):
        find_cluster(settings_at(silent))


def test_a_cluster_that_goes_away_is_missed_for_a_while_and_then_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        cluster = Cluster(address=f"127.0.0.1:{server.getsockname()[1]}")
        assert cluster.look()
    # What was seen a moment ago holds, unless there is a reason to look.
    assert cluster.look()
    assert not cluster.look(at_once=True)
    assert not cluster.look()
    monkeypatch.setattr(ray_cluster, "_GONE", 0.0)
    with pytest.raises(NoWorkersError, match="has gone away: start it again, then the same command, which goes on"):
        cluster.look()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heretic_tui.settings.workers.importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"workers need Ray: pip install .heretic-tui\[cluster\]"):
        find_cluster(settings_at(None))


@pytest.mark.parametrize(
    ("machines", "workers", "expected"),
    [
        ([8.0], 2, 4.0),
        ([8.0, 2.0], 2, 4.0),
        ([8.0, 8.0], 3, 4.0),
        ([2.0], 2, 1.0),
        ([2.0, 2.0], 4, 1.0),
        ([1.0], 2, 0.5),
        ([2.0], 5, 1 / 3),
    ],
)
def test_processors_are_shared_so_that_every_worker_has_room(
    machines: list[float], workers: int, expected: float
) -> None:
    cores = processors_of_one(machines, workers)
    assert cores == pytest.approx(expected)
    assert sum(int(each / cores + 1e-9) for each in machines) >= workers

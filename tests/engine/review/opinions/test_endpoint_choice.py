"""Addresses and keys as people give them."""

from __future__ import annotations

import pytest

from heretic_tui.engine.review.opinions.endpoint_choice import EndpointChoice, address_of, key_of
from heretic_tui.errors import UsageError


@pytest.mark.parametrize(
    ("url", "goal", "host", "here"),
    [
        ("http://localhost:8000/v1", "http://localhost:8000/v1/chat/completions", "localhost:8000", True),
        ("http://127.0.0.1:11434/v1/", "http://127.0.0.1:11434/v1/chat/completions", "127.0.0.1:11434", True),
        ("http://[::1]:80/v1", "http://[::1]/v1/chat/completions", "[::1]", True),
        ("https://host.example/v1/chat/completions", "https://host.example/v1/chat/completions", "host.example", False),
        (" https://host.example ", "https://host.example/chat/completions", "host.example", False),
        ("http://192.168.0.7:8000/v1", "http://192.168.0.7:8000/v1/chat/completions", "192.168.0.7:8000", False),
    ],
)
def test_where_requests_go(url: str, goal: str, host: str, here: bool) -> None:
    address = address_of(EndpointChoice(url, "m"))
    assert (address.url, address.host, address.here) == (goal, host, here)
    assert address.encrypted == url.strip().startswith("https")


@pytest.mark.parametrize(
    "url",
    ["", " ", "localhost:8000", "ftp://host/v1", "http://", "http:///v1", "http://host:port/v1", "http://host:99999999/v1",
     "http://ho st/v1", "http://host\x1b[31m/v1", "file:///etc/passwd", "http://[::1", "http://host/v1\n/x",
     "http://xn--\u202e/v1", "http://host/\udc80"],
)  # fmt: skip
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError, match="is no address of an endpoint") as said:
        address_of(EndpointChoice(url, "m"))
    assert str(said.value).isprintable()


@pytest.mark.parametrize("url", ["https://me:secret@host/v1", "https://secret@host/v1", "https://host/v1?key=secret"])
def test_an_address_holds_no_key(url: str) -> None:
    with pytest.raises(UsageError, match="put a key into an environment variable") as said:
        address_of(EndpointChoice(url, "m"))
    assert "secret" not in str(said.value)


@pytest.mark.parametrize("model", ["", "  ", "m\n", "m\udc80"])
def test_a_model_has_a_name(model: str) -> None:
    with pytest.raises(UsageError, match="no model"):
        address_of(EndpointChoice("http://localhost/v1", model))


def test_the_key_comes_from_the_environment_alone() -> None:
    choice = EndpointChoice("http://localhost/v1", "m", key_variable="JUDGE_KEY")
    assert key_of(choice, {"JUDGE_KEY": " sk-1234\n"}) == "sk-1234"
    assert key_of(EndpointChoice("http://localhost/v1", "m"), {"JUDGE_KEY": "sk-1234"}) is None
    assert "sk-" not in repr(choice)
    for environment in ({}, {"JUDGE_KEY": ""}, {"JUDGE_KEY": " \n"}):
        with pytest.raises(UsageError, match="'JUDGE_KEY' is to hold the key"):
            key_of(choice, environment)


@pytest.mark.parametrize("key", ["sk 1234", "sk-\n1234", "sk-\x001234", "sk-ä1234"])
def test_what_is_no_key_is_not_repeated(key: str) -> None:
    with pytest.raises(UsageError, match="holds no key") as said:
        key_of(EndpointChoice("http://localhost/v1", "m", key_variable="JUDGE_KEY"), {"JUDGE_KEY": key})
    assert "1234" not in str(said.value)

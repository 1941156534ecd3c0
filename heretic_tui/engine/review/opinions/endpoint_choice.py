"""Which endpoint is asked for opinions, as the user chose it: its address, its model, and the key from the
environment."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from heretic_tui.errors import UsageError
from heretic_tui.words import quoted

_END = "/chat/completions"


@dataclass(frozen=True)
class EndpointChoice:
    """An OpenAI-compatible chat endpoint.

    Attributes:
        url: its base address, which mostly ends in /v1.
        model: the model that it is asked for.
        key_variable: the environment variable that holds the key; None where it needs none. The key itself is nowhere
            in the settings.
        concurrent: requests that are sent at once.
        timeout: seconds that an answer may take.
    """

    url: str
    model: str
    key_variable: str | None = None
    concurrent: int = 8
    timeout: float = 120.0


@dataclass(frozen=True)
class Address:
    """Where requests are sent.

    Attributes:
        url: that of chat completions.
        host: with the port, for people.
        here: whether it is on this machine.
        encrypted: whether nobody on the way can read what is sent.
    """

    url: str
    host: str
    here: bool
    encrypted: bool


def address_of(choice: EndpointChoice) -> Address:
    """
    Raises:
        UsageError: for what is no address of an endpoint, or holds a password.
    """
    text = choice.url.strip().rstrip("/")
    url = _parsed(text)
    if not url or url.scheme not in ("http", "https") or not text.isprintable() or " " in text:
        raise UsageError(
            f"{quoted(choice.url)} is no address of an endpoint: give one such as http://localhost:8000/v1"
        )
    host = url.netloc.decode()
    if url.userinfo or url.query or url.fragment:
        raise UsageError(
            f"the address of the endpoint {host} holds more than host and path: put a key into an environment "
            "variable, and name that"
        )
    if not choice.model.strip() or not choice.model.isprintable():
        raise UsageError(f"no model of the endpoint {host} is named: give the name by which it knows one")
    address = str(url)
    return Address(
        url=address if address.endswith(_END) else address + _END,
        host=host,
        here=_is_here(url.host),
        encrypted=url.scheme == "https",
    )


def key_of(choice: EndpointChoice, environment: Mapping[str, str]) -> str | None:
    """The key, None where none is needed.

    Raises:
        UsageError: when the variable is not set, or holds what can be no key. The message does not hold it.
    """
    if choice.key_variable is None:
        return None
    key = environment.get(choice.key_variable, "").strip()
    where = f"the environment variable {quoted(choice.key_variable)}"
    if not key:
        raise UsageError(f"{where} is to hold the key of the endpoint, and is not set: export it, and run this again")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UsageError(f"{where} holds no key: spaces, line ends or letters that no key has are in it")
    return key


def _parsed(text: str) -> httpx2.URL | None:
    try:
        url = httpx2.URL(text)
        # A host in other letters is decoded when it is asked for.
        return url if url.host and (url.port is None or 0 < url.port < 1 << 16) else None
    # Some of what is no text makes the parser fail.
    except (httpx2.InvalidURL, ValueError):
        return None


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

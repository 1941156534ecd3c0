"""The Hugging Face Hub: whether it can be reached from here, and as whom."""

from __future__ import annotations

import os

from heretic_tui.doctor.probe import Finding
from heretic_tui.errors import one_line
from heretic_tui.words import plain

# Seconds for an answer; an address without one would take minutes.
PATIENCE = 6.0
_LOG_IN = "hf auth login, or set HF_TOKEN: for gated models and uploads"
_CACHED = "models and data sets on this disk can be used"


def look_at_hub() -> list[Finding]:
    """Ask the Hub with its own client who is logged in here."""
    from huggingface_hub import HfApi, constants, get_token
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils._http import get_session

    where = constants.ENDPOINT.removeprefix("https://")
    if constants.HF_HUB_OFFLINE:
        said = f"not asked: HF_HUB_OFFLINE is set; {_CACHED}"
        return [Finding(name="Hub", state="ok", said=said)]
    session = get_session()
    session.timeout = PATIENCE
    try:
        if get_token() is None:
            # Whatever it answers, it is there.
            session.head(constants.ENDPOINT)
            return [Finding(name="Hub", state="note", said=f"{where} is reached, nobody is logged in", todo=_LOG_IN)]
        name = plain(str(HfApi().whoami()["name"]))
        return [Finding(name="Hub", state="ok", said=f"{where} is reached, logged in as {name}")]
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            named = "HF_TOKEN" if os.environ.get("HF_TOKEN") else "the token of this machine"
            said = f"{where} does not take {named}, and then gives no model at all"
            return [Finding(name="Hub", state="fix", said=said, todo="hf auth login, or unset it")]
        said = f"{where} answers with {status}; {_CACHED}"
    except Exception as error:  # noqa: BLE001 - the client's HTTP library, and so its errors, differ between versions
        said = f"{where} is not reached ({one_line(error)}); {_CACHED}"
    return [Finding(name="Hub", state="note", said=said, todo="look at network and proxy (HTTPS_PROXY)")]

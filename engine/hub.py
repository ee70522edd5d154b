"""Whether models can be fetched from the hub."""

import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

HUB_SECONDS = 3.0
"""How long an answer of the hub is waited for."""


@dataclass(frozen=True)
class HubState:
    """Whether models can be fetched."""

    address: str
    is_reachable: bool
    remark: str


def hub_state() -> HubState:
    """Whether the hub answers, unless the environment says that it shall not be asked."""
    address = _address()
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE"):
            return HubState(address, False, f"not asked: {name} is set")
    request = urllib.request.Request(address, method="HEAD", headers={"User-Agent": "enc doctor"})
    try:
        with urllib.request.urlopen(request, timeout=HUB_SECONDS):
            return HubState(address, True, "reachable")
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            return HubState(address, False, f"not usable: it answers {error.code}")
        return HubState(address, True, "reachable")  # it answered, whatever it thinks of the request
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return HubState(address, False, f"not reachable: {getattr(reason, 'strerror', None) or reason}")


class WaitingForHub:
    """A look at the hub in a thread of its own, because names are resolved without a timeout."""

    def __init__(self, look: Callable[[], HubState] = hub_state):
        self._found: list[HubState] = []
        self._thread = threading.Thread(target=lambda: self._found.append(look()), daemon=True)
        self._thread.start()
        self._deadline = time.monotonic() + HUB_SECONDS

    def result(self) -> HubState:
        """What was found, or that there was no answer in time."""
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        if self._found:
            return self._found[0]
        return HubState(_address(), False, f"not reachable: no answer in {HUB_SECONDS:.0f} s")


def _address() -> str:
    return os.environ.get("HF_ENDPOINT") or "https://huggingface.co"

"""What a pretend cloud knows: its clients, the tokens it gave, the instances it holds."""

from __future__ import annotations

import base64
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from router.demo.cloud_faults import Fault, Script
from router.demo.cloud_store import ALREADY_STORED, Received, Stored


class CloudState:
    """The cloud without its network; every method may be called from any thread."""

    def __init__(
        self,
        *,
        client_id: str = "edge-a",
        client_secret: str = "demo-secret",
        verify_assertion: Callable[[str], bool] | None = None,
        token_seconds: float = 3600.0,
        require_token: bool = True,
        folder: Path | None = None,
    ) -> None:
        self.stow_script = Script()
        self.token_script = Script()
        self._client_id = client_id
        self._client_secret = client_secret
        self._verify_assertion = verify_assertion
        self._token_seconds = token_seconds
        self._require_token = require_token
        self._folder = folder
        self._lock = threading.Lock()
        self._stored: dict[str, Stored] = {}
        self._tokens: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def stored(self) -> tuple[Stored, ...]:
        """The instances held, in the order in which they came."""
        with self._lock:
            return tuple(self._stored.values())

    def count(self, name: str) -> int:
        """How often: `stow`, `search`, `token`, `unauthorised`, `duplicate`, `stored`."""
        with self._lock:
            return self._counts.get(name, 0)

    def revoke_tokens(self) -> None:
        """Every token given out so far is void."""
        with self._lock:
            self._tokens.clear()

    def counted(self, name: str) -> None:
        """Count one more."""
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + 1

    def is_authorised(self, header: str) -> bool:
        """Whether this Authorization header holds a token that is still good."""
        if not self._require_token:
            return True
        with self._lock:
            ends_at = self._tokens.get(header.removeprefix("Bearer "), 0.0)
        return header.startswith("Bearer ") and time.monotonic() < ends_at

    def new_token(self) -> tuple[str, float]:
        """A token and the seconds it lives."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._tokens[token] = time.monotonic() + self._token_seconds
        return token, self._token_seconds

    def is_known_client(self, form: Mapping[str, str], authorization: str) -> bool:
        """Whether this token request proves who asks (RFC 6749 2.3, RFC 7523 2.2)."""
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        if authorization.startswith("Basic "):
            text = base64.b64decode(authorization.removeprefix("Basic ")).decode()
            client_id, _, secret = (unquote(part) for part in text.partition(":"))
        if not hmac.compare_digest(client_id.encode(), self._client_id.encode()):
            return False
        if "client_assertion" in form:
            return self._verify_assertion is not None and self._verify_assertion(
                form["client_assertion"]
            )
        return hmac.compare_digest(secret.encode(), self._client_secret.encode())

    def take(self, parts: Iterator[Received], fault: Fault) -> tuple[int, dict[str, Any]]:
        """Store the parts as the fault permits; the status and the store response."""
        response = _Response(fault.warn)
        for index, part in enumerate(parts):
            if fault.keep is not None and index >= fault.keep:
                if part.instance is not None and part.instance.path is not None:
                    part.instance.path.unlink()
                if not fault.silent:
                    response.failed(None if fault.unnamed else part.instance, fault.fail)
            elif part.instance is None:
                response.failed(None, part.reason)
            elif self._keep(part.instance):
                response.stored(part.instance, part.reason)
            else:
                response.failed(part.instance, ALREADY_STORED)
        return response.finished()

    def _keep(self, instance: Stored) -> bool:
        with self._lock:
            known = instance.sop_instance_uid in self._stored
            if not known:
                self._stored[instance.sop_instance_uid] = instance
        self.counted("duplicate" if known else "stored")
        if known and instance.path is not None:
            instance.path.unlink()
        return not known

    @property
    def folder(self) -> Path | None:
        """Where files are kept."""
        return self._folder


class _Response:
    """A store response while it is made (PS3.18 10.5.3.1)."""

    def __init__(self, warning: int | None) -> None:
        self._warning = warning
        self._stored: list[dict[str, Any]] = []
        self._failed: list[dict[str, Any]] = []
        self._warned = False

    def stored(self, instance: Stored, warning: int) -> None:
        item = _item(instance) | {"00741048": {"vr": "SQ"}}
        reason = self._warning or warning
        if reason:
            self._warned = True
            item["00081196"] = {"vr": "US", "Value": [reason]}
        self._stored.append(item)

    def failed(self, instance: Stored | None, reason: int | None) -> None:
        item = _item(instance) if instance is not None else {}
        if reason is not None:
            item["00081197"] = {"vr": "US", "Value": [reason]}
        self._failed.append(item)

    def finished(self) -> tuple[int, dict[str, Any]]:
        found: dict[str, Any] = {}
        if self._failed:
            found["00081198"] = {"vr": "SQ", "Value": self._failed}
        if self._stored:
            found["00081199"] = {"vr": "SQ", "Value": self._stored}
        if not found:
            return 204, {}
        if not self._stored:
            return 409, found
        return (202 if self._failed or self._warned else 200), found


def _item(instance: Stored) -> dict[str, Any]:
    return {
        "00081150": {"vr": "UI", "Value": [instance.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [instance.sop_instance_uid]},
    }

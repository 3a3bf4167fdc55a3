"""Authorization that needs no endpoint: a fixed bearer token, or a user name and a password."""

from __future__ import annotations

import base64
from collections.abc import Callable

from router.model.station import Basic, Bearer, Secret


class FixedCredentials:
    """A fixed bearer token or basic authentication, read anew for each request."""

    def __init__(self, settings: Bearer | Basic, read_secret: Callable[[Secret], str]) -> None:
        self._settings = settings
        self._read_secret = read_secret

    def header(self, for_seconds: float) -> str:
        """The Authorization header (RFC 6750 2.1, RFC 7617)."""
        del for_seconds
        if isinstance(self._settings, Bearer):
            return f"Bearer {self._read_secret(self._settings.token)}"
        return basic(self._settings.username, self._read_secret(self._settings.password))

    def refused(self, header: str) -> bool:
        """True when the secret was changed meanwhile."""
        return header != self.header(0.0)


def basic(username: str, password: str) -> str:
    """The Authorization header of basic authentication (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()

"""Where secrets are, and reading one when it is needed. They are never kept, logged or shown.

A file is looked for in the credentials folder of the service manager ($CREDENTIALS_DIRECTORY), then
below the configuration folder; an absolute path stands for itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from router.errors import RouterError
from router.model.station import Secret

MAX_SECRET_BYTES: Final = 64 * 1024


class SecretMissing(RouterError):
    """A secret cannot be read now; the message names the reference, never the content."""


def find_file(name: str, folder: Path, environment: Mapping[str, str]) -> Path | None:
    """The file a secret's name leads to, or None when there is none."""
    credentials = environment.get("CREDENTIALS_DIRECTORY")
    candidates = [folder / name]
    if credentials and "/" not in name:
        candidates.insert(0, Path(credentials) / name)
    for candidate in candidates:
        try:
            if candidate.is_file():
                return candidate
        except (OSError, ValueError):
            continue
    return None


def read_secret(secret: Secret, folder: Path, environment: Mapping[str, str] = os.environ) -> str:
    """The secret, without the line end a file closes with. Raises SecretMissing."""
    if secret.kind == "env":
        value = environment.get(secret.name, "")
        if not value:
            raise SecretMissing(f"the environment variable '{secret.name}' is not set")
        return value
    path = find_file(secret.name, folder, environment)
    if path is None:
        raise SecretMissing(f"the secret file '{secret.name}' does not exist")
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_SECRET_BYTES + 1)
        text = data.decode("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise SecretMissing(f"the secret file '{secret.name}' cannot be read") from None
    if not text or len(data) > MAX_SECRET_BYTES:
        raise SecretMissing(f"the secret file '{secret.name}' is empty or too large")
    return text

"""Reading a secret when it is needed: a file or an environment variable, never kept in a plan.

A relative file is looked for in the service manager's credentials folder first, then beside the
configuration. What goes wrong is told by the secret's name, never its value.
"""

from __future__ import annotations

import os
from pathlib import Path

from router.errors import Rejected
from router.model.station import Secret

MAX_BYTES = 64 * 1024


def read_secret(secret: Secret, folder: Path) -> str:
    """The secret without its trailing newline. Raises Rejected when it cannot be read."""
    if secret.kind == "env":
        value = os.environ.get(secret.name)
        if value is None:
            raise Rejected(f"the environment variable {secret.name} is not set")
        return value
    for base in (os.environ.get("CREDENTIALS_DIRECTORY"), str(folder)):
        path = Path(base or "/nonexistent") / secret.name
        try:
            if path.is_file() and path.stat().st_size <= MAX_BYTES:
                return path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            raise Rejected(f"the secret file {secret.name} cannot be read: {reason}") from None
    raise Rejected(f"the secret file {secret.name} is not beside the configuration")

"""Shape of section `deploy`: the branch of a repository that is followed."""

from __future__ import annotations

from typing import Final

from router.config import shapes
from router.config.shapes import Fragment
from router.config.shapes_stations import AUTH as STATION_AUTH

_HOST: Final = r"[A-Za-z0-9\[][A-Za-z0-9.:_\]-]*"
_USER: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_REST: Final = r"[^\s\x00-\x1F\x7F?#]+"
REPOSITORY_PATTERN: Final = (
    rf"^(https?://{_HOST}/{_REST}|ssh://({_USER}@)?{_HOST}/{_REST}"
    rf"|{_USER}@[A-Za-z0-9][A-Za-z0-9.-]*:{_REST}|/[^\x00-\x1F\x7F]+)$"
)
# Names that git takes for a branch (git check-ref-format), without the rarest.
BRANCH_PATTERN: Final = (
    r"^(?!.*(\.\.|//|/\.|\.lock$|\.lock/|[/.]$))[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}$"
)
PATH_PATTERN: Final = r"^(?!.*(^|/)\.\.(/|$))[^\x00-\x1F\x7F/:][^\x00-\x1F\x7F:]*$"

AUTH: Final[dict[str, Fragment]] = {
    "bearer": STATION_AUTH["bearer"],
    "basic": STATION_AUTH["basic"],
    "ssh": shapes.mapping(
        "An SSH key of this router.",
        {
            "type": {"const": "ssh", "description": "An SSH key of this router."},
            "key": shapes.path(
                "Its private key, without a passphrase, for the router's user only.",
                examples=["/etc/dicom-router-keys/deploy"],
            ),
            "known_hosts": shapes.path(
                "The host keys that are trusted, in the format of OpenSSH; no other is.",
                examples=["/etc/dicom-router-keys/known_hosts"],
            ),
        },
        ("type", "key", "known_hosts"),
    ),
}

DEPLOY: Final = shapes.mapping(
    "The branch of a git repository that this configuration follows. A commit that does not check, "
    "fails its tests or is not signed by who may is never activated.",
    {
        "repository": shapes.text(
            "Where it lies: https://, ssh:// (or user@host:path), or the absolute path of a "
            "repository on this machine. http:// to this machine only.",
            title="an https:// or ssh:// address, or an absolute path",
            pattern=REPOSITORY_PATTERN,
            format="base-url",
            examples=["https://git.hospital-a.example/imaging/config.git"],
        ),
        "branch": shapes.text(
            "The branch that is followed.",
            title="the name of a branch",
            pattern=BRANCH_PATTERN,
            default="main",
            examples=["main", "production"],
        ),
        "path": shapes.text(
            "The folder in the repository that is the configuration; all of it when absent.",
            title="a path below the repository",
            pattern=PATH_PATTERN,
            examples=["sites/hospital-a"],
        ),
        "every": shapes.duration("Time between two looks, give or take a tenth.", default="5m"),
        "timeout": shapes.duration("Longest time one look may take.", default="60s"),
        "require_signature": shapes.switch(
            "Take only commits that one of the allowed signers signed with an SSH key.",
            default=True,
        ),
        "allowed_signers": shapes.path(
            "Who may sign, as ssh-keygen(1) describes it under ALLOWED SIGNERS.",
            examples=["/etc/dicom-router-keys/allowed_signers"],
        ),
        "tls": shapes.text(
            "Name of a profile under `tls:` whose ca is trusted, and whose cert is shown if asked for.",
            title="the name of a TLS profile",
            examples=["hospital"],
        ),
        "auth": shapes.typed(
            "How we authenticate with the repository.", AUTH, "Kind of authentication."
        ),
    },
    ("repository",),
)

"""Where the configuration comes from: the branch of a repository that is followed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from router.model.station import Basic, Bearer


@dataclass(frozen=True, slots=True)
class SshKey:
    """Authentication with an SSH key, and the hosts it may be shown to."""

    key: Path
    known_hosts: Path


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """A branch, the folder of its repository that is the configuration, and who may sign it.

    `repository` is an https, ssh or loopback http URL, or the path of a repository on this machine.
    `allowed_signers` is None where no signature is asked for; `tls` names the profile to connect with.
    """

    repository: str
    branch: str
    path: str = ""
    every_seconds: float = 300.0
    timeout_seconds: float = 60.0
    allowed_signers: Path | None = None
    tls: str | None = None
    auth: Bearer | Basic | SshKey | None = None

    @property
    def is_local(self) -> bool:
        """Whether the repository lies on this machine: it is read in place, nothing is fetched."""
        return self.repository.startswith("/")

    def trust(self) -> DeploySettings:
        """The same without what only paces it: whose commits are taken, from where."""
        return DeploySettings(
            self.repository, self.branch, self.path,
            allowed_signers=self.allowed_signers, tls=self.tls, auth=self.auth,
        )  # fmt: skip

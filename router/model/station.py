"""Station: a remote, as configured; and the settings that hang on it.

A compiled value: defaults are filled in, names resolved, secrets still references. Durations are
seconds, sizes bytes, rates bytes per second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from router.model.problem import Place
from router.model.recipe import NOTHING, Recipe

StationKind = Literal["dicom", "dicomweb", "folder"]
Commit = Literal["", "request", "query"]
"""How it is asked whether it keeps what it was sent: by Storage Commitment, by a search, or not."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is kept. It is read when it is needed and never held in a plan."""

    kind: Literal["file", "env"]
    name: str


@dataclass(frozen=True, slots=True)
class TlsProfile:
    """Certificates of one TLS profile; `client_auth` says what a listener asks of its peers."""

    name: str
    cert: Path | None
    key: Path | None
    ca: Path | None
    client_auth: Literal["none", "optional", "required"] = "none"


@dataclass(frozen=True, slots=True)
class OAuth:
    """OAuth 2.0 client credentials (RFC 6749 4.4): a secret, or a private key (RFC 7523)."""

    token_url: str
    client_id: str
    scope: tuple[str, ...] = ()
    client_secret: Secret | None = None
    private_key: Path | None = None
    key_id: str | None = None
    audience: str | None = None
    resource: str | None = None
    send_secret_in: Literal["body", "header"] = "body"


@dataclass(frozen=True, slots=True)
class Bearer:
    """A fixed bearer token."""

    token: Secret


@dataclass(frozen=True, slots=True)
class Basic:
    """HTTP basic authentication."""

    username: str
    password: Secret


Auth = OAuth | Bearer | Basic


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Whether and how often a station is probed."""

    enabled: bool = True
    every_seconds: float = 600.0
    timeout_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Back-off of one delivery: first × factorⁿ up to max, until give_up has passed."""

    first_seconds: float = 30.0
    factor: float = 2.0
    max_seconds: float = 1800.0
    give_up_seconds: float = 604800.0


def is_within(hours: tuple[int, int] | None, minute_of_day: int) -> bool:
    """Whether the minute lies in these hours (minutes of the day; they may pass midnight)."""
    if hours is None:
        return True
    begin, end = hours
    if begin < end:
        return begin <= minute_of_day < end
    return minute_of_day >= begin or minute_of_day < end


@dataclass(frozen=True, slots=True)
class Limits:
    """What a station may be asked to carry at once. `hours` are minutes of the local day.

    Hours that end before they begin pass midnight; those that end where they begin are all day.
    """

    associations: int = 2
    requests: int = 8
    batch_instances: int = 16
    batch_bytes: int = 64 * 1024 * 1024
    bandwidth_bytes_per_second: int | None = None
    hours: tuple[int, int] | None = None
    timeout_seconds: float = 60.0
    max_pdu_bytes: int = 262144

    def is_open(self, minute_of_day: int) -> bool:
        """Whether it may be sent to at that minute."""
        return is_within(self.hours, minute_of_day)

    @property
    def hours_written(self) -> str:
        """The hours as `19:00-07:00`; empty where there are none."""
        if self.hours is None:
            return ""
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in self.hours)


@dataclass(frozen=True, slots=True)
class Hooks:
    """Changes to everything that passes a station, by direction.

    `receive` acts on what comes from it, before the rules see it; `send` on what goes to it, behind
    the morphs of rule and route; the others on queries and answers we exchange with it.
    """

    receive: Recipe = NOTHING
    send: Recipe = NOTHING
    find_request: Recipe = NOTHING
    find_response: Recipe = NOTHING
    retrieve_request: Recipe = NOTHING
    retrieve_response: Recipe = NOTHING


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What happens to an object that a station sends once more.

    `same_content`: `send_missing` owes what is not queued, being sent or delivered for it already,
    `send_again` all but what is on its way. `other_content`: `version` sends the new version too,
    behind the old one; `replace` instead of what waits of the old one; `quarantine` keeps it apart.
    """

    same_content: Literal["send_missing", "send_again"] = "send_missing"
    other_content: Literal["version", "replace", "quarantine"] = "version"


USUAL_DUPLICATES: Final = Duplicates()


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it was written, by its path of keys such as `heartbeat.every`.

    `origin` is the organization it is inherited from, `defaults` for that section, '' for the
    station's own.
    """

    key: str
    value: Any
    origin: str
    place: Place


@dataclass(frozen=True, slots=True)
class Station:
    """One remote. `port` is None for a station that only sends to us.

    `external`: outside of the organization, so what it gets should not say who the patient is.
    `delete_rejected`: what a rejection note names for safety is deleted there, the note is stored.
    `commit`: what it was sent counts as delivered once it committed to keep it, or was found there.
    `move_destinations` are the stations it may move to by C-MOVE, besides itself.
    `settings` is what was written of it, its own and what it inherits, each with its origin.
    """

    name: str
    kind: StationKind
    description: str = ""
    organization: str = ""
    ae_title: str = ""
    host: str = ""
    port: int | None = None
    tls: str | None = None
    url: str = ""
    profile: str = "generic"
    auth: Auth | None = None
    path: Path | None = None
    active: bool = True
    send: bool = False
    query_retrieve: bool = False
    move_destinations: tuple[str, ...] = ()
    archive_server: bool = False
    iocm: bool = False
    cancel_unsent: Literal["safety", "all"] = "safety"
    delete_rejected: bool = False
    commit: Commit = ""
    original_patient_id: bool = False
    character_set: str = ""
    issuer_of_patient_id: str = ""
    calling_ae_title: str = ""
    allow_insecure_http: bool = False
    external: bool = False
    heartbeat: Heartbeat = Heartbeat()
    retry: Retry = Retry()
    limits: Limits = Limits()
    duplicates: Duplicates = USUAL_DUPLICATES
    hooks: Hooks = Hooks()
    settings: tuple[Setting, ...] = field(default=(), compare=False)
    place: Place | None = field(default=None, compare=False)

    @property
    def may_be_asked(self) -> bool:
        """Whether it may be searched and retrieved from."""
        return self.active and self.query_retrieve and self.kind != "folder"

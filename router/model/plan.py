"""Plan: the compiled, frozen configuration, with a digest and the look-ups work needs.

Work takes the plan once, at its start, and keeps it to its end. Equality is equality of what was
written: compiled functions and places do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path as FilePath
from typing import Literal

from router.model.deployment import DeploySettings
from router.model.listener import Listener
from router.model.notices import NO_RECEIVER, AuditSettings, Webhook
from router.model.organization import Organization, below
from router.model.path import Path
from router.model.rule import Rule
from router.model.station import Secret, Station, TlsProfile


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """Who we are and where we keep things."""

    name: str
    ae_title: str
    data_dir: FilePath
    id: int | None = None
    organization: str = ""
    unmatched: Literal["keep", "discard", "refuse"] = "keep"
    mapping_key: Secret | None = None


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Bounds of the journal: kept at most this long and this large. None is without bound."""

    max_bytes: int | None = None
    keep_seconds: float | None = None
    segment_bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True)
class Plan:
    """Everything the running router knows of its configuration.

    `revision` is the commit it was deployed from, in short; '' for a plain folder.
    """

    digest: str
    folder: FilePath
    router: RouterSettings
    listeners: Mapping[str, Listener]
    tls: Mapping[str, TlsProfile]
    stations: Mapping[str, Station]
    rules: tuple[Rule, ...]
    store: StoreSettings = StoreSettings()
    audit: AuditSettings = NO_RECEIVER
    webhooks: Mapping[str, Webhook] = field(default_factory=dict)
    deploy: DeploySettings | None = None
    organizations: Mapping[str, Organization] = field(default_factory=dict)
    loaded_at: float = field(default=0.0, compare=False)
    revision: str = field(default="", compare=False)

    @cached_property
    def needs(self) -> frozenset[Path]:
        """The attributes any rule reads: all that is decoded of an arriving header."""
        return frozenset().union(*(rule.condition.needs for rule in self.rules))

    def stations_of(self, names: Iterable[str]) -> frozenset[str]:
        """The stations of these organizations and of those below them, by name."""
        wanted = below(self.organizations, names)
        return frozenset().union(*(self._names_by_organization.get(one, ()) for one in wanted))

    @cached_property
    def _names_by_organization(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for station in self.stations.values():
            found.setdefault(station.organization, []).append(station.name)
        return {name: tuple(stations) for name, stations in found.items()}

    @cached_property
    def stations_by_ae_title(self) -> Mapping[str, tuple[Station, ...]]:
        """DICOM stations by their AE title; several may share one and differ by host."""
        found: dict[str, tuple[Station, ...]] = {}
        for station in self.stations.values():
            if station.kind == "dicom":
                found[station.ae_title] = (*found.get(station.ae_title, ()), station)
        return found

    @cached_property
    def passed_on_by_ae_title(self) -> Mapping[str, Station]:
        """DICOMweb stations that are searched for others, by the AE title these call."""
        return {
            station.ae_title: station
            for station in self.stations.values()
            if station.kind == "dicomweb"
            and station.ae_title
            and station.active
            and station.query_retrieve
        }

"""Meaning of `stations`: what they inherit joined, references resolved, what sending needs checked."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from router.config import compile_router, shapes_stations, units
from router.config.compile_auth import credentials
from router.config.compile_hooks import hooks
from router.config.compile_morphs import Morphs
from router.config.compile_organizations import Organizations, check_organization
from router.config.context import Context
from router.config.nodes import (
    Entry,
    Mapping,
    PathPart,
    Scalar,
    node_at,
    place_at,
    plain,
    show_path,
)
from router.config.references import check_tls_name, is_loopback, kind_of, named
from router.config.suggest import did_you_mean
from router.model.deployment import SshKey
from router.model.ids import normalise_ae_title
from router.model.station import (
    USUAL_DUPLICATES,
    Auth,
    Commit,
    Duplicates,
    Heartbeat,
    Hooks,
    Limits,
    OAuth,
    Retry,
    Setting,
    Station,
    TlsProfile,
)

_FLAGS: Final = ("send", "query_retrieve", "archive_server", "iocm", "original_patient_id")
_TEXTS: Final = ("description", "host", "url", "character_set", "issuer_of_patient_id")


def stations(
    document: Mapping,
    context: Context,
    tls: AnyMapping[str, TlsProfile],
    morphs: Morphs,
    organizations: Organizations,
) -> dict[str, Station]:
    """Section `stations`, with every station whose kind is known."""
    found: dict[str, Station] = {}
    for name, own in named(document, "stations", context):
        path: tuple[PathPart, ...] = ("stations", name)
        kind = kind_of(own, context.shapes.stations, "dicom", path, context)
        if kind is None:
            continue
        shape = context.shapes.stations[kind]
        checked = context.shapes.check(own.value, shape, path, own.key.place)
        entry, whose, settings = _joined(own, shape, name, organizations, context)
        data = _with_inherited(checked.data, own, entry)
        if not checked.is_fine:
            context.faulty.add(("stations", name))
        check_tls_name(data.get("tls"), tls, entry.value, path, context)
        if kind == "dicom" and checked.is_fine:
            _check_reachable(data, own, entry, path, context)
        if kind == "dicomweb":
            _check_url(data.get("url", ""), ("url",), data, entry, path, context)
        auth = credentials(shapes_stations.AUTH, data, entry.value, path, context)
        assert not isinstance(auth, SshKey)  # no kind of a station's
        if isinstance(auth, OAuth):
            _check_url(auth.token_url, ("auth", "token_url"), data, entry, path, context)
        acts = hooks(kind, data, entry, morphs, path, context)
        found[name] = _station(name, kind, data, context, (auth, acts, whose, settings), entry)
    _check_move_destinations(document, found, context)
    _check_archive_titles(document, found, context)
    return found


def _check_move_destinations(
    document: Mapping, found: AnyMapping[str, Station], context: Context
) -> None:
    """Each is a DICOM station that may be sent to (DR201, DR207)."""
    for name, entry in named(document, "stations", context):
        for index, other in enumerate(found[name].move_destinations if name in found else ()):
            path: tuple[PathPart, ...] = ("move_destinations", index)
            node = node_at(entry.value, path) or node_at(entry.value, path[:1]) or entry.value
            path = ("stations", name, *path)
            target = found.get(other)
            if target is None:
                hint = did_you_mean(other, found)
                context.error("DR201", f"no station is named '{other}'", node, path, hint)
            elif target.kind != "dicom" or not target.send:
                message = f"'{other}' is no DICOM station that may be sent to"
                hint = f"add send: true to station '{other}'" if target.kind == "dicom" else ""
                context.error("DR207", message, node, path, hint)


def _check_archive_titles(
    document: Mapping, found: AnyMapping[str, Station], context: Context
) -> None:
    """The AE titles by which DICOMweb stations are searched tell them apart (DR105)."""
    taken: dict[str, str] = {}
    for name, entry in named(document, "stations", context):
        station = found.get(name)
        if station is None or station.kind != "dicomweb" or not station.ae_title:
            continue
        other = taken.setdefault(station.ae_title, name)
        if other != name:
            node = node_at(entry.value, ("ae_title",)) or entry.value
            message = f"'{station.ae_title}' is the AE title of station '{other}' already"
            context.error("DR105", message, node, ("stations", name, "ae_title"))


def _with_inherited(sound: dict[str, Any], own: Entry, joined: Entry) -> dict[str, Any]:
    """What is sound of a station's own, and what it inherits, which was checked where it stands."""
    if joined.value is own.value or not isinstance(joined.value, Mapping):
        return sound
    written = own.value.entries if isinstance(own.value, Mapping) else {}
    found = dict(sound)
    for key, entry in joined.value.entries.items():
        if key not in written or (key in sound and entry is not written[key]):
            found[key] = plain(entry.value)
    return found


def _joined(
    entry: Entry,
    shape: AnyMapping[str, Any],
    name: str,
    organizations: Organizations,
    context: Context,
) -> tuple[Entry, str, tuple[Setting, ...]]:
    """The station with what it inherits, whose it is, and where each setting is from."""
    if not isinstance(entry.value, Mapping):
        return entry, organizations.home, ()
    written = entry.value.get("organization")
    whose = organizations.home
    if isinstance(written, Scalar) and isinstance(written.value, str):
        whose = written.value
        check_organization(whose, organizations, entry.value, name, context)
    joined, settings = organizations.inherited(whose, entry.value, shape["properties"])
    return Entry(entry.key, joined), whose, settings


def _station(
    name: str,
    kind: str,
    data: AnyMapping[str, Any],
    context: Context,
    parts: tuple[Auth | None, Hooks, str, tuple[Setting, ...]],
    entry: Entry,
) -> Station:
    auth, acts, whose, settings = parts
    beat = compile_router.heartbeat(data.get("heartbeat", {}), Heartbeat())
    if kind == "dicom" and not data.get("port"):
        beat = Heartbeat(False, beat.every_seconds, beat.timeout_seconds)
    titles: dict[str, Any] = {
        key: normalise_ae_title(data[key])
        for key in ("ae_title", "calling_ae_title")
        if key in data
    }
    destinations = data.get("move_destinations", ())
    if isinstance(destinations, str):
        destinations = (destinations,)
    return Station(
        name=name,
        kind=kind,  # type: ignore[arg-type] # one of the known kinds, by the shape
        **titles,
        **{key: data[key] for key in _TEXTS if key in data},
        **{key: data[key] for key in _FLAGS if key in data},
        move_destinations=tuple(destinations),
        commit=_commit(kind, data.get("commit", False)),
        port=data.get("port"),
        tls=data.get("tls"),
        profile=data.get("profile", "generic"),
        auth=auth,
        path=Path(context.folder / data["path"]) if "path" in data else None,
        active=data.get("active", True),
        allow_insecure_http=data.get("allow_insecure_http", False),
        external=data.get("external", data.get("profile") in shapes_stations.EXTERNAL_PROFILES),
        heartbeat=beat,
        retry=compile_router.retry(data.get("retry", {}), Retry()),
        limits=_limits(data.get("limits", {})),
        delete_rejected=data.get("delete_rejected", False),
        cancel_unsent=data.get("cancel_unsent", "safety"),
        duplicates=Duplicates(**data["duplicates"]) if "duplicates" in data else USUAL_DUPLICATES,
        hooks=acts,
        organization=whose,
        settings=settings,
        place=entry.key.place,
    )


def _commit(kind: str, written: Any) -> Commit:
    """`true` is the kind's own way: DICOMweb has no Storage Commitment that servers offer."""
    if not written:
        return ""
    return "query" if kind == "dicomweb" or written == "query" else "request"


def _limits(data: AnyMapping[str, Any]) -> Limits:
    base = Limits()
    batch = data.get("batch", {})
    return Limits(
        associations=data.get("associations", base.associations),
        requests=data.get("requests", base.requests),
        batch_instances=batch.get("instances", base.batch_instances),
        batch_bytes=units.size_bytes(batch["size"]) if "size" in batch else base.batch_bytes,
        bandwidth_bytes_per_second=(
            units.bytes_per_second(data["bandwidth"]) if "bandwidth" in data else None
        ),
        hours=units.hours(data["hours"]) if "hours" in data else None,
        timeout_seconds=(
            units.seconds(data["timeout"]) if "timeout" in data else base.timeout_seconds
        ),
        max_pdu_bytes=(
            units.size_bytes(data["max_pdu"]) if "max_pdu" in data else base.max_pdu_bytes
        ),
    )


def _check_reachable(
    data: AnyMapping[str, Any],
    own: Entry,
    entry: Entry,
    path: tuple[PathPart, ...],
    context: Context,
) -> None:
    """Host and port are needed to send, to query and for a heartbeat of its own, and only then."""
    written = own.value.entries if isinstance(own.value, Mapping) else {}
    missing = [key for key in ("host", "port") if key not in written]
    reasons = {
        "send": data.get("send", False),
        "query_retrieve": data.get("query_retrieve", False),
        "heartbeat": "heartbeat" in written and data.get("heartbeat", {}).get("enabled", True),
    }
    wanting = [key for key, wants in reasons.items() if wants]
    if missing and wanting:
        needs = " and ".join(f"'{key}'" for key in missing)
        place = place_at(entry.value, (wanting[0],), at_key=True)
        message = f"{show_path(path)} needs {needs}, because {wanting[0]} is on"
        hint = "add it, for example port: 104" if "port" in missing else "add host"
        context.report.error("DR208", message, place, path=show_path(path), hint=hint)


def _check_url(
    url: str,
    below: tuple[str, ...],
    data: AnyMapping[str, Any],
    entry: Entry,
    path: tuple[PathPart, ...],
    context: Context,
) -> None:
    """A port there is; clear text only where it was asked for, to this machine advice (DR209, DR313)."""
    node = node_at(entry.value, below) or entry.value
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        message = f"{below[-1]}: '{url}' has no address and port that can be"
        context.error("DR105", message, node, (*path, *below))
        return
    if not url.startswith("http://"):
        return
    message = f"{below[-1]} begins with http://: patient data and tokens would go in clear"
    if data.get("allow_insecure_http"):
        return
    if is_loopback(host):
        context.warn("DR313", message, node, (*path, *below), "write allow_insecure_http: true")
        return
    hint = "write https://, or add allow_insecure_http: true"
    context.error("DR209", message, node, (*path, *below), hint)

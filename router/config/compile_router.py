"""Meaning of what is about ourselves: router, tls, cache; and of values that stations share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from router.config import shapes_router, units
from router.config.context import Context
from router.config.nodes import Mapping, Node, PathPart, node_at, place_at
from router.config.references import named
from router.model.ids import normalise_ae_title
from router.model.plan import RouterSettings, StoreSettings
from router.model.station import Heartbeat, Retry, Secret, TlsProfile


def settings(document: Mapping, context: Context) -> RouterSettings | None:
    """Section `router`; None when it is missing or lacks what it needs."""
    node = document.get("router")
    if node is None:
        if context.report.is_incomplete:
            return None
        place = document.place
        context.report.error("DR103", "no file has a 'router' section", place, path="router")
        return None
    key_place = document.entries["router"].key.place
    checked = context.shapes.check(node, shapes_router.ROUTER, ("router",), key_place)
    data = checked.data
    if not all(key in data for key in ("name", "ae_title", "data_dir")):
        return None
    return RouterSettings(
        name=data["name"],
        ae_title=normalise_ae_title(data["ae_title"]),
        data_dir=Path(context.folder / data["data_dir"]),
        id=data.get("id"),
        organization=data.get("organization", ""),
        unmatched=data.get("unmatched", "keep"),
        mapping_key=_mapping_key(data, node, context),
    )


def _mapping_key(data: dict[str, Any], node: Node, context: Context) -> Secret | None:
    if "mapping_key" not in data:
        return None
    path: tuple[PathPart, ...] = ("router", "mapping_key")
    return context.secret(data["mapping_key"], node_at(node, ("mapping_key",)), path)


def tls_profiles(document: Mapping, context: Context) -> dict[str, TlsProfile]:
    """Section `tls`, with every profile that could be read."""
    profiles: dict[str, TlsProfile] = {}
    for name, entry in named(document, "tls", context):
        path: tuple[PathPart, ...] = ("tls", name)
        checked = context.shapes.check(entry.value, shapes_router.TLS, path, entry.key.place)
        data = checked.data
        files: dict[str, Path | None] = {"cert": None, "key": None, "ca": None}
        words = {"cert": "the certificate", "key": "the key file", "ca": "the authority file"}
        for kind in files:
            node = node_at(entry.value, (kind,))
            if kind in data and node is not None:
                files[kind] = context.file(data[kind], node, (*path, kind), words[kind])
        given = [kind for kind in ("cert", "key") if kind in data]
        if not checked.is_fine:
            context.faulty.add(("tls", name))
        elif len(given) == 1:
            message = (
                f"tls.{name} has a {given[0]} without its {'key' if given == ['cert'] else 'cert'}"
            )
            context.report.error("DR103", message, entry.key.place, path=f"tls.{name}")
        asks = data.get("client_auth", "none") != "none"
        if asks and "ca" not in data and checked.is_fine:
            message = f"tls.{name} asks for client certificates, but has no ca to check them with"
            context.report.error("DR103", message, entry.key.place, path=f"tls.{name}")
        profiles[name] = TlsProfile(name, **files, client_auth=data.get("client_auth", "none"))
    return profiles


def heartbeat(data: dict[str, Any], base: Heartbeat) -> Heartbeat:
    """A heartbeat with what is not written taken from `base`."""
    return Heartbeat(
        enabled=data.get("enabled", base.enabled),
        every_seconds=units.seconds(data["every"]) if "every" in data else base.every_seconds,
        timeout_seconds=(
            units.seconds(data["timeout"]) if "timeout" in data else base.timeout_seconds
        ),
    )


def retry(data: dict[str, Any], base: Retry) -> Retry:
    """A back-off with what is not written taken from `base`."""
    times = {key: units.seconds(data[key]) for key in ("first", "max", "give_up") if key in data}
    return Retry(
        first_seconds=times.get("first", base.first_seconds),
        factor=float(data.get("factor", base.factor)),
        max_seconds=times.get("max", base.max_seconds),
        give_up_seconds=times.get("give_up", base.give_up_seconds),
    )


def store(document: Mapping, context: Context) -> StoreSettings:
    """Section `cache`."""
    node = document.get("cache")
    if node is None:
        return StoreSettings()
    data = context.shapes.check(node, shapes_router.CACHE, ("cache",)).data
    if "key" in data:
        place = place_at(node, ("key",), at_key=True)
        hint = "the keys are made and kept in data_dir"
        context.report.warn(
            "DR390", "'key' is not used by this version", place, path="cache.key", hint=hint
        )
    return StoreSettings(
        max_bytes=units.size_bytes(data["max_size"]) if "max_size" in data else None,
        keep_seconds=units.seconds(data["keep"]) if "keep" in data else None,
    )

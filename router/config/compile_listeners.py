"""Meaning of `listeners`: where we accept, and what must not be open to everyone."""

from __future__ import annotations

from typing import Any

from router.config import shapes_router, units
from router.config.context import Context
from router.config.nodes import Entry, Mapping, Node, PathPart, node_at
from router.config.references import check_tls_name, is_loopback, kind_of, named
from router.model.ids import normalise_ae_title
from router.model.listener import AssociationLimits, Listener
from router.model.plan import RouterSettings
from router.model.station import TlsProfile


def listeners(
    document: Mapping, context: Context, router: RouterSettings | None, tls: dict[str, TlsProfile]
) -> dict[str, Listener]:
    """Section `listeners`; two on one port, unknown profiles and open admin pages are problems."""
    found: dict[str, Listener] = {}
    bound: list[tuple[Listener, Node]] = []
    for name, entry in named(document, "listeners", context):
        listener = _listener(name, entry, context, router, tls)
        if listener is None:
            continue
        found[name] = listener
        node = node_at(entry.value, ("bind",)) or entry.value
        for other, other_node in bound:
            if _collide(listener, other):
                message = f"listeners '{other.name}' and '{name}' both bind port {listener.port}"
                place = node.place
                path = f"listeners.{name}.bind"
                context.report.error("DR206", message, place, path=path, other=other_node.place)
        bound.append((listener, node))
    return found


def _listener(
    name: str,
    entry: Entry,
    context: Context,
    router: RouterSettings | None,
    tls: dict[str, TlsProfile],
) -> Listener | None:
    path: tuple[PathPart, ...] = ("listeners", name)
    kind = kind_of(entry, shapes_router.LISTENERS, None, path, context)
    if kind is None:
        return None
    shape = shapes_router.LISTENERS[kind]
    data = context.shapes.check(entry.value, shape, path, entry.key.place).data
    check_tls_name(data.get("tls"), tls, entry.value, path, context)
    profile = tls.get(data.get("tls", ""))
    if profile is not None and profile.cert is None and ("tls", profile.name) not in context.faulty:
        wrong = node_at(entry.value, ("tls",)) or entry.value
        message = f"the TLS profile '{profile.name}' has no certificate to listen with"
        context.error("DR202", message, wrong, (*path, "tls"))
    if "bind" not in data:
        return None
    host, _, port = data["bind"].rpartition(":")
    host = host.strip("[]")
    node = node_at(entry.value, ("bind",)) or entry.value
    if int(port) > 65535:
        context.error("DR105", f"bind: {port} is no port (0 to 65535)", node, (*path, "bind"))
        return None
    if kind == "http" and not is_loopback(host):
        message = f"an http listener may only bind to loopback, not to {host}"
        hint = "use 127.0.0.1, or type: https with a TLS profile"
        context.error("DR403", message, node, (*path, "bind"), hint)
    titles = data.get("ae_titles", router.ae_title if router else "")
    return Listener(
        name=name,
        kind=kind,  # type: ignore[arg-type] # one of the three kinds, by the shape
        host=host,
        port=int(port),
        ae_titles=_titles(titles),
        accept=data.get("accept", "known_stations"),
        networks=data.get("networks", "private"),
        tls=data.get("tls"),
        serve=tuple(data.get("serve", ())),
        origins=tuple(data.get("origins", ())),
        limits=_association_limits(data.get("limits", {})),
        place=node.place,
    )


def _titles(written: str | list[str]) -> tuple[str, ...]:
    titles = [written] if isinstance(written, str) else written
    return tuple(normalise_ae_title(title) for title in titles if title.strip(" "))


def _association_limits(data: dict[str, Any]) -> AssociationLimits:
    base = AssociationLimits()
    keys = ("associations", "associations_per_address", "associations_per_ae_title")
    counts = {key: data[key] for key in keys if key in data}
    return AssociationLimits(
        **counts,
        max_pdu_bytes=units.size_bytes(data["max_pdu"])
        if "max_pdu" in data
        else base.max_pdu_bytes,
        idle_seconds=units.seconds(data["idle"]) if "idle" in data else base.idle_seconds,
        life_seconds=units.seconds(data["life"]) if "life" in data else base.life_seconds,
    )


def _collide(one: Listener, other: Listener) -> bool:
    if one.port != other.port or one.port == 0:
        return False
    wildcards = ("0.0.0.0", "::", "*")  # noqa: S104 - compared, not bound
    return one.host == other.host or one.host in wildcards or other.host in wildcards

"""Admission: who may open an association with us. Closed by default.

Identity is the calling AE title and, where the station names a host, the address it calls from; the
called AE title must be one of the listener's, or that of a DICOMweb station that is passed on to. In
clear and from a public network only who calls from the host of a station comes in. A
station that is not active is not known. Host names are resolved at every association: an address
that changed yesterday must not lock a modality out.
"""

from __future__ import annotations

import ipaddress
import socket

from router.dimse.handlers import (
    CALLED_AE_TITLE_NOT_RECOGNISED,
    CALLING_AE_TITLE_NOT_RECOGNISED,
    Calling,
    Rejection,
)
from router.model.instance import Source
from router.model.listener import Listener
from router.model.plan import Plan
from router.model.station import Station


def admit(plan: Plan, calling: Calling) -> Source | Rejection:
    """The source this caller is, or the rejection it hears (PS3.8 9.3.4)."""
    listener = plan.listeners[calling.listener]
    called = calling.called_ae_title
    if called not in listener.ae_titles and called not in plan.passed_on_by_ae_title:
        return CALLED_AE_TITLE_NOT_RECOGNISED
    is_private = not _is_from_outside(listener, calling.address)
    for station in plan.stations_by_ae_title.get(calling.calling_ae_title, ()):
        is_named = bool(station.host) or is_private
        if station.active and is_named and _calls_from_its_host(station, calling.address):
            return _source(calling, station.name)
    if listener.accept == "any" and is_private:
        return _source(calling, None)
    return CALLING_AE_TITLE_NOT_RECOGNISED


def why_refused(plan: Plan, calling: Calling, rejection: Rejection) -> str:
    """The reason in words, for whoever can mend it; the caller hears the rejection alone."""
    if rejection == CALLED_AE_TITLE_NOT_RECOGNISED:
        ours = ", ".join(sorted(plan.listeners[calling.listener].ae_titles))
        return f"listener {calling.listener} is {ours}, not {calling.called_ae_title!r}"
    known = plan.stations_by_ae_title.get(calling.calling_ae_title, ())
    listener = plan.listeners[calling.listener]
    is_open = listener.accept == "any" or any(one.active and not one.host for one in known)
    if is_open and _is_from_outside(listener, calling.address):
        return (
            f"it calls from {calling.address}, no private network, and in clear: write that host into "
            f"its station, have it use TLS, or set networks: any on listener {listener.name}"
        )
    if not known:
        return f"no station has the AE title {calling.calling_ae_title!r}: add it, if it may send"
    active = [station for station in known if station.active]
    if not active:
        return f"station {known[0].name} is not active"
    hosts = ", ".join(f"{station.name} at {station.host}" for station in active)
    return f"it calls from {calling.address}, but its AE title is that of {hosts}"


def _is_from_outside(listener: Listener, address: str) -> bool:
    """Whether a call in clear comes from a public network, and the listener takes none of these."""
    if listener.tls is not None or listener.networks == "any":
        return False
    try:
        return _address(address).is_global
    except ValueError:
        return False


def _source(calling: Calling, station: str | None) -> Source:
    return Source(
        listener=calling.listener,
        calling_ae_title=calling.calling_ae_title,
        called_ae_title=calling.called_ae_title,
        address=calling.address,
        station=station,
        tls_subject=calling.tls_subject,
    )


def _calls_from_its_host(station: Station, address: str) -> bool:
    if not station.host:
        return True
    caller = _address(address)
    try:
        return caller == _address(station.host)
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(station.host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(_address(str(entry[4][0])) == caller for entry in found)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.split("%", 1)[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address

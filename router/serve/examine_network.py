"""Whether names resolve, ports are free, clocks agree, and viewers find the cache.

Names are looked up side by side and within a time; nothing is sent to a station but, to those over
HTTP, one request for the Date they give.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from router.dimse.tls import client_context
from router.model.plan import Plan
from router.model.station import Station
from router.serve.device import host_name
from router.serve.findings import Finding, ok, problem, warning
from router.serve.listening import SERVED_KINDS, CannotListen, bind
from router.threads import side_by_side

LOOKUP_SECONDS: Final = 5.0
LATE_SECONDS: Final = 2.0
WRONG_SECONDS: Final = 60.0
_AT_ONCE: Final = 16
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared


def examine_names(plan: Plan) -> Iterator[Finding]:
    """The names of this machine and of the stations."""
    own = socket.gethostname()
    hosts = {f"station {one.name}": name for one in plan.stations.values() if (name := _host(one))}
    asked = {**hosts, "host name": own}
    tasks = {check: (lambda name=name: addresses_of(name)) for check, name in asked.items()}
    found = side_by_side(tasks, _AT_ONCE, LOOKUP_SECONDS)
    addresses = found.get("host name", ())
    if addresses:
        yield ok("host name", f"{own} is {', '.join(addresses)}")
    else:
        yield warning(
            "host name", f"{own}, the name of this machine, resolves to nothing",
            f"add it to DNS, or to /etc/hosts: 127.0.1.1 {own}",
        )  # fmt: skip
    for check, name in hosts.items():
        if found.get(check):
            continue
        late = "" if check in found else f" within {LOOKUP_SECONDS:.0f} s"
        yield problem(
            check, f"its host {name} resolves to nothing{late}",
            "mend the name in the configuration or in DNS, or write its IP address",
        )  # fmt: skip
    resolved = sum(bool(found.get(check)) for check in hosts)
    yield ok("stations", f"the hosts of {resolved} of {len(hosts)} resolve")


def _host(station: Station) -> str:
    return urlsplit(station.url).hostname or "" if station.url else station.host


def addresses_of(name: str) -> tuple[str, ...]:
    """What the name resolves to; nothing where it does not."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def examine_ports(plan: Plan, *, is_running: bool) -> Iterator[Finding]:
    """Whether every listener could listen; while the router runs its own ports are its own."""
    for name, listener in plan.listeners.items():
        if listener.kind not in SERVED_KINDS:
            continue
        where = f"{listener.host}:{listener.port}"
        if is_running:
            yield ok(f"listener {name}", f"{where}; the router runs")
            continue
        try:
            for bound in bind(replace(plan, listeners={name: listener})).values():
                bound.close()
        except CannotListen as error:
            words, _, fix = str(error).rpartition("; ")
            yield problem(f"listener {name}", words or str(error), fix if words else "see above")
        else:
            yield ok(f"listener {name}", f"{where} is free")


def examine_clock(plan: Plan) -> Iterator[Finding]:
    """How far this clock is from those of the stations over HTTP; nobody else tells the time."""
    stations = [one for one in plan.stations.values() if one.kind == "dicomweb" and one.active]
    tasks = {one.name: (lambda one=one: _ahead_seconds(plan, one)) for one in stations}
    answers = side_by_side(tasks, _AT_ONCE, LOOKUP_SECONDS + 1)
    known = {name: seconds for name, seconds in answers.items() if seconds is not None}
    if not known:
        why = "none answers" if stations else "there is none"
        yield warning(
            "clock", f"not compared: only stations over HTTP tell the time, and {why}",
            "see that this machine follows a time server: timedatectl",
        )  # fmt: skip
    for name, seconds in sorted(known.items()):
        if abs(seconds) <= LATE_SECONDS:
            yield ok("clock", f"as that of station {name}")
            continue
        words = f"{abs(seconds):.0f} s {'behind' if seconds > 0 else 'ahead of'} station {name}"
        make = problem if abs(seconds) > WRONG_SECONDS else warning
        yield make("clock", words, "have both follow a time server: timedatectl")


def _ahead_seconds(plan: Plan, station: Station) -> float | None:
    """By how much the station's clock is ahead of ours; None when it does not say."""
    parts = urlsplit(station.url)
    if not parts.hostname:
        return None
    connection: http.client.HTTPConnection
    try:
        if parts.scheme == "https":
            profile = plan.tls.get(station.tls or "")
            context = client_context(profile) if profile else ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=LOOKUP_SECONDS, context=context
            )
        else:
            connection = http.client.HTTPConnection(
                parts.hostname, parts.port, timeout=LOOKUP_SECONDS
            )
        began_at = time.time()
        connection.request("HEAD", parts.path or "/")
        date = connection.getresponse().headers.get("date", "")
        here = (began_at + time.time()) / 2
        connection.close()
        # A Date is cut to its second: half of one is lost on average.
        return parsedate_to_datetime(date).timestamp() + 0.5 - here
    except (OSError, ValueError, http.client.HTTPException):
        return None


def examine_cache_host(plan: Plan, domain: str) -> Iterator[Finding]:
    """Whether the name viewers look for leads here, where a listener serves the cache."""
    listener = next((one for one in plan.listeners.values() if "cache" in one.serve), None)
    if listener is None:
        return
    if plan.router.id is None or not plan.router.organization:
        words = "its host name is made of router.id and router.organization, and one is missing"
        yield warning("cache host", words, "set both")
        return
    try:
        name = host_name(plan.router.id, plan.router.organization, domain)
    except ValueError as error:
        yield problem("cache host", str(error), "shorten router.organization")
        return
    address = listener.host if listener.host not in _EVERYWHERE else lan_address()
    # One space and nothing else: some readers of hosts files know no tabs.
    line = f"{address} {name}"
    found = side_by_side({name: lambda: addresses_of(name)}, 1, LOOKUP_SECONDS).get(name, ())
    if any(_is_ours(one) for one in found):
        yield ok("cache host", f"{name} is {', '.join(found)}, this machine")
    elif found:
        words = f"{name} is {', '.join(found)}, which is not this machine"
        yield problem("cache host", words, f"in DNS or the viewers' hosts file: {line}")
    else:
        words = f"{name} resolves to nothing: viewers do not find the cache"
        yield warning("cache host", words, f"in DNS or the viewers' hosts file: {line}")


def _is_ours(address: str) -> bool:
    """Whether the address is one of this machine: only such can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address.partition("%")[0], 0))
        except OSError:
            return False
    return True


def lan_address() -> str:
    """The address this machine has towards others; nothing is sent to find out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        # An address of the documentation (RFC 5737): where the default route goes.
        probe.connect(("192.0.2.1", 9))
        found = str(probe.getsockname()[0])
        if not ipaddress.ip_address(found).is_unspecified:
            return found
    return "127.0.0.1"

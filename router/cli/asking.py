"""What verbs share that speak with one station: finding it, making its peer, a sign of life."""

from __future__ import annotations

import click

from router.cli.common import EXIT_FAILED, emit_json
from router.clock import Clock
from router.config.suggest import did_you_mean
from router.flow.told import probe_json
from router.model.plan import Plan
from router.model.station import Station
from router.peers.peer import Peer
from router.serve.peers import peer_maker


def station_or_exit(plan: Plan, name: str) -> Station:
    """The station of that name. Raises click.ClickException with what was probably meant."""
    station = plan.stations.get(name)
    if station is None:
        hint = did_you_mean(name, plan.stations)
        raise click.ClickException(f"there is no station {name!r}; {hint}")
    return station


def may_be_asked_or_exit(station: Station) -> None:
    """Raises click.ClickException unless the station may be searched and retrieved from."""
    if not station.active:
        raise click.ClickException(f"station {station.name} is not active: nothing was asked")
    if not station.query_retrieve:
        raise click.ClickException(
            f"station {station.name} may not be asked: set query_retrieve: true on it"
        )


def peer_of(plan: Plan, station: Station) -> Peer:
    """The working side of a station, for this command alone."""
    return peer_maker(plan, Clock())(station)


def probe_now(plan: Plan, name: str, form: str) -> int:
    """Ask a station for a sign of life and print its exact answer; the exit code."""
    peer = peer_of(plan, station_or_exit(plan, name))
    try:
        probe = peer.probe()
    finally:
        peer.close()
    if form == "json":
        emit_json(probe_json(name, probe))
    else:
        word = "online" if probe.ok else "OFFLINE"
        click.echo(f"{word}  {name}  {probe.message}  {probe.seconds * 1000:.0f} ms")
    return 0 if probe.ok else EXIT_FAILED

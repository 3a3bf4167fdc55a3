"""The router as its users run it, configured for a bench: nothing tuned, rules and metrics on.

Variants add what is measured beside the common case: TLS both ways, more stations, more rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.sink import MARKER
from tests.support.process import free_port
from tests.support.router_process import Router

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: known_stations$tls$limits}
  admin: {type: http, bind: "127.0.0.1:$http_port", serve: [api, metrics]}
defaults:
  retry: {first: 1s, factor: 2, max: 10s, give_up: 7d}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs: {ae_title: SINK, host: 127.0.0.1, port: $destination, send: true$tls}
  cloud: {type: dicomweb, profile: generic, url: "http://127.0.0.1:$destination/dicom-web",
          allow_insecure_http: true, send: true}
rules:
  - name: from the scanner, when it is one of ours
    match: {from: ct-1, Modality: [$modalities], StudyDescription: {regex: "."}}
    morph:
      - set: {InstitutionName: $marker, StationName: BENCH}
      - prefix: {AccessionNumber: B-}
    route: [$station]
"""
TLS = "tls:\n  lab: {cert: $cert, key: $key, ca: $ca, client_auth: none}\n"


@dataclass(frozen=True, slots=True)
class Variant:
    """What differs: the rule's modalities and destination, a folder of certificates, limits of the
    listener, more YAML."""

    modalities: str = "CT, MR"
    station: str = "pacs"
    certificates: Path | None = None
    limits: str = ""
    more: str = ""


@contextmanager
def router(folder: Path, destination_port: int, variant: Variant) -> Iterator[Router]:
    """A running router, its account checked when the block ends well."""
    edge = Router(
        folder,
        SITE,
        destination=destination_port,
        http_port=free_port(),
        marker=MARKER,
        modalities=variant.modalities,
        station=variant.station,
        tls=", tls: lab" if variant.certificates else "",
        limits=variant.limits and f", limits: {variant.limits}",
    )
    if variant.certificates:
        here = variant.certificates
        names = {"cert": here / "cert.pem", "key": here / "key.pem", "ca": here / "ca.pem"}
        edge.write(TLS, "tls.yaml", **names)
    if variant.more:
        edge.write(variant.more, "more.yaml")
    edge.is_cold = True
    edge.start()
    try:
        yield edge
        edge.assert_balanced()
    finally:
        edge.kill()

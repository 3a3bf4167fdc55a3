"""The configuration the demo writes: a real folder, as an operator would write it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROUTER = """\
version: 1

router:
  name: demo-edge
  organization: Hospital A
  ae_title: EDGE_A
  data_dir: {data_dir}

listeners:
  lan:   {{type: dimse, bind: "127.0.0.1:{dicom_port}", accept: known_stations}}
  admin: {{type: http, bind: "127.0.0.1:{http_port}", serve: [ui, api, metrics]}}

defaults:
  retry: {{first: 1s, factor: 2, max: 10s, give_up: 7d}}
"""

STATIONS = """\
stations:
  ct-1:
    description: CT scanner, emergency room
    ae_title: CT1
    host: 127.0.0.1
  pacs:
    description: Main archive
    ae_title: PACS
    host: 127.0.0.1
    port: {pacs_port}
    send: true
  cloud:
    type: dicomweb
    profile: azure
    url: {cloud_url}
    allow_insecure_http: true
    send: true
    auth:
      type: oauth2
      token_url: {token_url}
      client_id: {client_id}
      client_secret: {{file: cloud-secret}}
      scope: [{scope}]
  night-reading:
    description: Teleradiology, nobody there by day
    ae_title: NIGHT
    host: 127.0.0.1
    port: {night_port}
    send: true
"""

RULES = """\
rules:
  - name: everything to the archive
    match: {from: ct-1}
    route: [pacs]

  - name: chest CT to the cloud, without the patient's name
    match:
      from: ct-1
      Modality: CT
      StudyDescription: {regex: "(?i)chest|thorax"}
    morph:
      - set: {InstitutionName: "{{ router.organization }}", PatientName: ANONYMOUS}
      - prefix: {AccessionNumber: HSPA-}
    route:
      - {to: cloud, priority: low}

  - name: MR to the night reading
    match: {from: ct-1, Modality: MR}
    route: [night-reading]
"""

BROKEN_RULE = """\
rules:
  - name: head CT to the archive
    match:
      Modality: CT
      StudyDescripton: {regex: head}
    route: [pacs]
"""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Where everybody listens, and what the cloud wants to hear."""

    dicom_port: int
    http_port: int
    pacs_port: int
    night_port: int
    cloud_url: str
    token_url: str
    client_id: str
    client_secret: str
    scope: str


def write_configuration(folder: Path, neighbours: Neighbours, data_dir: Path) -> None:
    """Write the folder: router.yaml, stations.yaml, rules.yaml and the cloud's secret."""
    folder.mkdir(parents=True)
    router = ROUTER.format(
        data_dir=data_dir, dicom_port=neighbours.dicom_port, http_port=neighbours.http_port
    )
    stations = STATIONS.format(
        pacs_port=neighbours.pacs_port,
        night_port=neighbours.night_port,
        cloud_url=neighbours.cloud_url,
        token_url=neighbours.token_url,
        client_id=neighbours.client_id,
        scope=neighbours.scope,
    )
    (folder / "router.yaml").write_text(router, encoding="utf-8")
    (folder / "stations.yaml").write_text(stations, encoding="utf-8")
    (folder / "rules.yaml").write_text(RULES, encoding="utf-8")
    secret = folder / "cloud-secret"
    secret.touch(mode=0o600)
    secret.write_text(neighbours.client_secret, encoding="utf-8")

"""A running router with its DICOMweb server, and clients with tokens."""

from __future__ import annotations

from pathlib import Path

import httpx

from router.dicomweb.multipart import Part, RelatedBody
from router.dicomweb.related import parts
from tests.support.process import free_port, wait_until
from tests.support.router_process import Router
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import Synthetic

SITE = """\
version: 1
router: {name: edge, organization: Hospital A, id: 7, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: known_stations}
  web: {type: http, bind: "127.0.0.1:$http", serve: [dicomweb, cache, metrics]}
defaults:
  station: {heartbeat: {enabled: false}}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1, morph: {receive: [{prefix: {PatientID: HERE-}}]}}
  pacs: {ae_title: DEST, host: 127.0.0.1, port: $pacs, send: true}
  viewer:
    type: dicomweb
    url: https://viewer.example/dicom-web
    send: true
    morph: {receive: [{set: {InstitutionName: By web}}], send: [{set: {StationName: FOR-VIEWER}}]}
rules:
  - {name: all, route: [pacs]}
"""


class DicomwebSite:
    """Starts at once; `pacs` is its destination."""

    def __init__(self, folder: Path, *, site: str = SITE, script: Script | None = None) -> None:
        self.pacs = ScriptedScp(script or Script(max_pdu_bytes=0))
        self.http = free_port()
        self.router = Router(folder, site, http=self.http, pacs=self.pacs.port)
        self.router.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}/dicomweb/v1"

    def token(self, *scopes: str, name: str = "tester") -> str:
        options = [word for scope in scopes for word in ("--scope", scope)]
        code, output, errors = self.router.command("token", "new", name, *options)
        assert code == 0, errors
        return output.strip()

    def client(self, *scopes: str, name: str = "tester") -> httpx.Client:
        headers = {"authorization": f"Bearer {self.token(*scopes, name=name)}"} if scopes else {}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=30)

    def listed(self, client: httpx.Client, count: int, path: str = "/instances") -> list[dict]:
        """The answers of a search once there are so many of them."""
        found: list[dict] = []

        def is_listed() -> bool:
            answer = client.get(path)
            assert answer.status_code in (200, 204), answer.text
            found[:] = answer.json() if answer.status_code == 200 else []
            return len(found) >= count

        wait_until(is_listed, 15, what=f"{count} answers of {path}")
        assert len(found) == count
        return found

    def close(self) -> None:
        self.router.kill()
        self.pacs.close()


def stow(
    client: httpx.Client,
    images: list[Synthetic],
    path: str = "/studies",
    *,
    content_type: str = "",
) -> httpx.Response:
    """Store them in one request."""
    files = [one.part10() for one in images]
    return post(client, files, path, content_type=content_type)


def post(
    client: httpx.Client, files: list[bytes], path: str = "/studies", *, content_type: str = ""
) -> httpx.Response:
    """Store these bytes, each as one part."""
    body = RelatedBody([Part(len(data), lambda data=data: iter([data])) for data in files])
    octets = b"".join(bytes(chunk) for chunk in body.chunks())
    headers = {"content-type": content_type or body.content_type()}
    return client.post(path, content=octets, headers=headers)


def uids(document: dict, sequence: str) -> list[str]:
    """The SOP Instance UIDs in ReferencedSOPSequence or FailedSOPSequence."""
    items = document.get({"stored": "00081199", "failed": "00081198"}[sequence], {})
    return [one["00081155"]["Value"][0] for one in items.get("Value", [])]


def path_of(one: Synthetic) -> str:
    """The path of an instance."""
    return (
        f"/studies/{one.study_instance_uid}/series/{one.series_instance_uid}"
        f"/instances/{one.sop_instance_uid}"
    )


def bodies(answer: httpx.Response) -> list[tuple[str, bytes]]:
    """(content type, bytes) of each part."""
    found = parts(answer.headers["content-type"], [answer.content])
    return [(part.headers["content-type"], b"".join(part.chunks)) for part in found]

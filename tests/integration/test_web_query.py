"""Query and retrieve from the pages, with Orthanc as the archive that is asked."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import OrthancFactory, RouterFactory
from tests.support.process import free_port, wait_until
from tests.support.synthetic import instance

pytestmark = pytest.mark.peers

SITE = """\
version: 1
router: {name: edge, organization: Hospital A, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
  web: {type: https, bind: "127.0.0.1:$https", tls: web, serve: [ui, api]}
tls:
  web: {cert: tls/web.pem, key: tls/web.key}
stations:
  pacs: {ae_title: ORTHANC, host: 127.0.0.1, port: $pacs, query_retrieve: true}
rules: []
"""
PORTLESS = 104
PLANTED = {0x00100010: ("PN", "SILVA^ANA"), 0x00100020: ("LO", "A-77")}


@pytest.fixture
def browser(
    router: RouterFactory, orthanc: OrthancFactory
) -> Iterator[tuple[httpx.Client, str, str]]:
    """A client that is logged in, its proof, and the study that the archive holds."""
    https = free_port()
    edge = router(SITE, start=False, https=https, pacs=PORTLESS)
    archive = orthanc(settings={"DicomModalities": {"edge": ["EDGE_A", "127.0.0.1", edge.port]}})
    edge.write(SITE, https=https, pacs=archive.dicom_port)
    image = instance(5, rows=16, columns=16, changes=PLANTED)  # type: ignore[arg-type]
    archive.raw("/instances", method="POST", body=image.part10())
    names = ("--for", "localhost")
    assert edge.command("cert", "new", "web", *names)[0] == 0
    edge.start()
    token = edge.command("token", "new", "ana", "--scope", "all", "--once")[1].strip()
    url = f"https://localhost:{https}"
    context = ssl.create_default_context(cafile=str(edge.folder / "tls" / "web.pem"))
    with httpx.Client(base_url=url, verify=context, trust_env=False, timeout=60) as client:
        client.headers["origin"] = url
        client.headers["accept-language"] = "en"
        assert client.post("/login", data={"token": token}).status_code == 303
        csrf = re.search(r'name="csrf" value="([0-9a-f]+)"', client.get("/query").text)
        assert csrf is not None
        yield client, csrf.group(1), image.study_instance_uid


def test_f55_f56_a_study_is_found_retrieved_and_followed(
    browser: tuple[httpx.Client, str, str],
) -> None:
    client, csrf, study = browser
    search = {"csrf": csrf, "do": "search", "organization": "Hospital A", "station": "pacs"}
    text = client.post("/query", data={**search, "patient_name": "silva*"}).text
    assert "SILVA ANA" in text and f'value="{study}"' in text and "1 studies at pacs" in text
    assert "Nothing matches" in client.post("/query", data={**search, "patient_id": "B"}).text
    assert "did you mean" in client.post("/query", data={**search, "more": "PatientNam=X"}).text
    assert "choose one" in client.post("/query", data={**search, "station": ""}).text
    cut = client.post(
        "/api/v1/query",
        json={"organization": "Hospital A", "station": "pacs", "keys": ["PatientID=A-77"]},
        headers={"x-csrf-token": csrf},
    ).json()
    assert cut["ok"] is True and cut["answers"][0]["0020000D"]["Value"] == [study]

    retrieve = {"csrf": csrf, "do": "retrieve", "station": "pacs"}
    assert "Nothing was done" in client.post("/query", data=retrieve).text
    text = client.post("/query", data={**retrieve, "study": study}).text
    assert "Asked for 1 studies" in text

    def told() -> dict[str, object]:
        return dict(client.get("/api/v1/retrievals").json()["retrievals"][0])

    wait_until(lambda: told()["state"] != "In Progress", 20, what="the archive has sent it")
    assert (told()["state"], told()["completed"], told()["requester"]) == ("Completed", 1, "ana")
    wait_until(
        lambda: client.get(f"/api/v1/studies/{study}").status_code == 200, what="it is held here"
    )
    assert "SILVA ANA" in client.get(f"/studies/{study}").text

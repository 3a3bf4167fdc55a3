"""Pages over a configuration that is a release: nothing is written there, the change is a patch."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import RouterFactory
from tests.support.process import free_port

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  admin: {type: http, bind: "127.0.0.1:$http", serve: [ui, api]}
stations:
  pacs: {ae_title: PACS, host: 127.0.0.1, port: 1, send: true}
rules: []
"""


@pytest.fixture
def client(router: RouterFactory) -> Iterator[tuple[httpx.Client, Path]]:
    """A client, and the folder behind the link that the router was given."""
    http = free_port()
    edge = router(SITE, start=False, http=http)
    release = edge.work / "release-1"
    edge.folder.rename(release)
    edge.folder.symlink_to(release)
    edge.start()
    token = edge.command("token", "new", "ana", "--scope", "configure")[1].strip()
    header = {"authorization": f"Bearer {token}"}
    base = f"http://127.0.0.1:{http}/api/v1"
    with httpx.Client(base_url=base, headers=header, trust_env=False, timeout=30) as made:
        yield made, release


def test_what_is_changed_comes_back_as_a_patch_that_git_takes(
    client: tuple[httpx.Client, Path], tmp_path: Path
) -> None:
    asked, release = client
    before = (release / "site.yaml").read_text()
    assert asked.get("/configuration").json()["is_release"] is True
    seen = asked.get("/stations/pacs")
    answer = asked.post("/stations/pacs/disable", headers={"if-match": seen.headers["etag"]})
    told = answer.json()
    assert told["state"] == "patch", answer.text
    file = asked.get("/configuration/files/site.yaml")
    text = before.replace("name: edge,", "name: edge-b,")
    put = asked.put("/configuration/files/site.yaml", json={"text": text},
                    headers={"if-match": file.headers["etag"]}).json()  # fmt: skip
    assert put["state"] == "patch" and "+router: {name: edge-b," in put["patch"]
    assert (release / "site.yaml").read_text() == before

    copy = tmp_path / "clone"
    copy.mkdir()
    (copy / "site.yaml").write_text(before)
    command = ["git", "apply", "-"]
    subprocess.run(command, cwd=copy, input=told["patch"], text=True, check=True)
    assert "active: false" in (copy / "site.yaml").read_text()
    assert asked.get("/stations/pacs").json()["station"]["active"] is True

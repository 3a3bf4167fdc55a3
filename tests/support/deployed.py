"""A router that is deployed from git: a repository, the link its configuration is, and keys to sign."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.commands import dicom_router
from tests.support.process import Process, free_port
from tests.support.router_process import Router
from tests.support.scripted_scp import Script, ScriptedScp

SITE = """\
version: 1
router: {{name: edge, ae_title: EDGE_A, data_dir: {data}}}
listeners:
  lan: {{type: dimse, bind: "127.0.0.1:{port}"}}
stations:
  ct-1: {{ae_title: CT1, host: 127.0.0.1}}
  pacs: {{ae_title: DEST, host: 127.0.0.1, port: {pacs}, send: true, heartbeat: {{enabled: false}}}}
rules:
  - {{name: {rule}, match: {{Modality: CT}}, route: [pacs]}}
{more}"""
TESTS = """\
tests:
  - name: CT goes to the archive
    given: {{from: ct-1, dataset: {{Modality: CT}}}}
    expect: {{route: [{expected}]}}
"""


class Repository:
    """A git repository with the configuration in a folder of it."""

    def __init__(self, folder: Path, **facts: object) -> None:
        self.folder = folder
        self.facts = facts
        self.more = ""
        folder.mkdir()
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "a@example.org")
        self.git("config", "user.name", "A Person")

    def git(self, *words: str) -> str:
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
        done = subprocess.run(
            ["git", "-C", str(self.folder), *words], capture_output=True, text=True,
            check=True, env=environment,
        )  # fmt: skip
        return done.stdout.strip()

    def commit(self, rule: str, *, expected: str = "pacs", **more: str) -> str:
        """Commit a site with this rule and its test; the commit."""
        files = {
            "site/router.yaml": SITE.format(rule=rule, more=self.more, **self.facts),
            "site/rules.test.yaml": TESTS.format(expected=expected),
            **more,
        }
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", f"The rule is {rule}")
        return self.git("rev-parse", "HEAD")


class Site:
    """A link, a repository, and a router that runs with the link once it is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pacs = ScriptedScp(Script(max_pdu_bytes=0))
        self.port = free_port()
        self.data = folder / "data"
        facts = {"data": self.data, "port": self.port, "pacs": self.pacs.port}
        self.repository = Repository(folder / "repository", **facts)
        self.link = folder / "config"
        self.process: Process | None = None

    def deploy(self, *words: str) -> tuple[int, str, str]:
        return dicom_router("deploy", "--config", str(self.link), *words)

    def first(self, commit: str) -> None:
        code, output, errors = self.deploy(
            commit, "--repo", str(self.repository.folder), "--path", "site"
        )
        assert code == 0, errors
        assert "no router runs" in output

    def start(self) -> None:
        edge = Router.__new__(Router)
        edge.__dict__.update(
            work=self.folder, folder=self.link, data_dir=self.data, port=self.port,
            ae_title="EDGE_A", process=None, expect_balanced=True, _starts=0,
        )  # fmt: skip
        edge.start()
        self.edge = edge

    def status(self) -> dict:
        code, output, errors = self.deploy("status", "--format", "json")
        assert code == 0, errors
        return json.loads(output)

    def close(self) -> None:
        if hasattr(self, "edge"):
            self.edge.assert_balanced()
            self.edge.kill()
        self.pacs.close()


def signing_key(path: Path) -> Path:
    """A key made by ssh-keygen, without a passphrase; its public half lies beside it."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True
    )
    return path


class GitServer:
    """The repository over HTTP, served by git's own backend to whoever knows the password.

    `mode` is `serve`, `hang` (takes the request and never answers) or `fail` (500).
    """

    PASSWORD = "s3cret-of-the-remote"

    def __init__(self, root: Path, port: int = 0) -> None:
        self.mode = "serve"
        self.requests: list[str] = []
        self.closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(self.path)
                if server.mode == "hang":
                    server.closing.wait(60)
                    return
                pair = base64.b64encode(f"edge:{server.PASSWORD}".encode()).decode()
                if server.mode == "fail":
                    self.send_error(500)
                elif self.headers.get("authorization") != f"Basic {pair}":
                    self.send_response(401)
                    self.send_header("www-authenticate", 'Basic realm="git"')
                    self.end_headers()
                else:
                    server.backend(self, root)

            do_POST = do_GET

            def log_message(self, *_words: object) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/repository/.git"

    @staticmethod
    def backend(request: BaseHTTPRequestHandler, root: Path) -> None:
        path, _, query = request.path.partition("?")
        body = request.rfile.read(int(request.headers.get("content-length", 0)))
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null", "PATH_INFO": path, "QUERY_STRING": query,
            "REQUEST_METHOD": request.command, "REMOTE_USER": "edge",
            "CONTENT_TYPE": request.headers.get("content-type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
        }  # fmt: skip
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=True
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        request.send_response(int(fields.pop("Status", "200 OK").split()[0]))
        for name, value in fields.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()

"""Orthanc with its DICOMweb plugin as a peer: own ports, own storage, gone with the test."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.support.process import Process, environment, free_port, is_listening, wait_until

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def is_installed() -> bool:
    """Whether Orthanc and its DICOMweb plugin are on this machine."""
    return shutil.which("Orthanc", path=environment()["PATH"]) is not None and PLUGIN.exists()


class Orthanc:
    """A running Orthanc. `dicom_port`, `http_port`, `url` (REST) and `dicomweb_url`.

    `settings` are merged over the configuration (`{"DicomModalities": …}`).
    """

    def __init__(self, folder: Path, *, settings: Mapping[str, object] | None = None) -> None:
        self.folder = folder
        self.http_port = free_port()
        self.dicom_port = free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.dicomweb_url = f"{self.url}/dicom-web"
        self._settings = {**self._configuration(), **(settings or {})}
        self._process: Process | None = None
        self.start()

    def _configuration(self) -> dict[str, object]:
        storage = self.folder / "storage"
        storage.mkdir(parents=True, exist_ok=True)
        return {
            "Name": "peer",
            "StorageDirectory": str(storage),
            "IndexDirectory": str(storage),
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomPort": self.dicom_port,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": False,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowMove": True,
            "UnknownSopClassAccepted": True,
            "DefaultEncoding": "Utf8",
            "StableAge": 3,
            "SaveJobs": False,
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
        }

    def start(self) -> None:
        """Start (again) with what was stored before."""
        configuration = self.folder / "orthanc.json"
        configuration.write_text(json.dumps(self._settings))
        self._process = Process(["Orthanc", str(configuration)], self.folder / "orthanc.log")
        wait_until(self._is_up, 30, what="Orthanc answers")

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"Orthanc ended at once\n{self._process.tail()}")
        return is_listening(self.http_port) and is_listening(self.dicom_port)

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL it."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def rest(self, path: str, *, method: str = "GET", body: object = None) -> object:
        """A call of the REST API: the decoded JSON answer. HTTPError for an error status."""
        return json.loads(self.raw(path, method=method, body=body))

    def raw(self, path: str, *, method: str = "GET", body: object = None) -> bytes:
        """A call of the REST API: the answer's bytes. `body`: bytes as they are, else as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as response:
            return bytes(response.read())

    def count(self) -> int:
        """How many instances it holds."""
        statistics = self.rest("/statistics")
        assert isinstance(statistics, dict)
        return int(statistics["CountInstances"])

    def file(self, sop_instance_uid: str) -> bytes:
        """The stored file of an instance; KeyError when it is not there."""
        found = self.rest("/tools/lookup", method="POST", body=sop_instance_uid.encode())
        assert isinstance(found, list)
        for entry in found:
            if entry["Type"] == "Instance":
                return self.raw(f"{entry['Path']}/file")
        raise KeyError(sop_instance_uid)

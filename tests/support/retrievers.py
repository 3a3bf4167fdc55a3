"""DCMTK's findscu, movescu and getscu as whoever asks, and what they were told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from tests.support.process import run


@dataclass(frozen=True)
class Told:
    """How a program ended: everything it printed, and the answers or objects it was given."""

    code: int
    words: str
    objects: tuple[Dataset, ...]

    @property
    def status(self) -> str:
        """The status of the final response, as DCMTK puts it."""
        found = re.findall(r"Received Final \w+ Response \(([^)]*)\)", self.words)
        found += re.findall(r"Received C-GET Response \(([^)]*)\)", self.words)
        return found[-1] if found else ""

    @property
    def code_of_status(self) -> str:
        """The status of the last response dumped with `-d`, in four digits."""
        found = re.findall(r"DIMSE Status\s*: 0x([0-9a-f]{4})", self.words)
        return found[-1] if found else ""

    @property
    def comment(self) -> str:
        """The last Error Comment dumped with `-d`."""
        found = re.findall(r"Error Comment\s*: (.*)|\(0000,0902\) LO \[(.*?)\s*\]", self.words)
        return "".join(found[-1]) if found else ""

    def uids(self, keyword: str = "StudyInstanceUID") -> list[str]:
        """One UID of each answer, in order."""
        return sorted(str(one[keyword].value) for one in self.objects)


@dataclass
class Asker:
    """Someone at a port of this machine who calls as `calling` and asks `called`."""

    folder: Path
    port: int
    calling: str = "WS"
    called: str = "EDGE_A"
    number: int = 0

    def find(self, *keys: str, level: str = "STUDY", options: tuple[str, ...] = ("-S",)) -> Told:
        """findscu with these keys, `Keyword` or `Keyword=value`."""
        where = self._fresh()
        return self._run("findscu", [*options, "-X", "-od", str(where)], keys, level, where)

    def move(
        self, *keys: str, to: str = "", level: str = "STUDY", options: tuple[str, ...] = ()
    ) -> Told:
        """movescu towards an AE title that has a server of its own."""
        where = self._fresh()
        words = [*(options or ("-S",)), "-aem", to or self.calling]
        return self._run("movescu", words, keys, level, where)

    def get(self, *keys: str, level: str = "STUDY", options: tuple[str, ...] = ("-S",)) -> Told:
        """getscu; what it was sent are the objects."""
        where = self._fresh()
        return self._run("getscu", [*options, "-od", str(where)], keys, level, where)

    def _fresh(self) -> Path:
        self.number += 1
        where = self.folder / f"asked-{self.number}"
        where.mkdir(parents=True)
        return where

    def _run(
        self, program: str, words: list[str], keys: tuple[str, ...], level: str, where: Path
    ) -> Told:
        asked = [part for key in (f"QueryRetrieveLevel={level}", *keys) for part in ("-k", key)]
        peer = ["-aet", self.calling, "-aec", self.called, "127.0.0.1", str(self.port)]
        done = run([program, "-d", *words, *asked, *peer], timeout_seconds=60)
        files = sorted(path for path in where.iterdir() if path.is_file())
        objects = tuple(pydicom.dcmread(path, force=True) for path in files)
        return Told(done.returncode, done.stdout + done.stderr, objects)


def patient_names(found: Told) -> list[str]:
    """The names in the answers, decoded by pydicom."""
    return sorted(str(one.get("PatientName", "")) for one in found.objects)


def as_options(query: Mapping[str, str]) -> list[str]:
    """A query as the words of `Asker.find`."""
    return [f"{keyword}={value}" if value else keyword for keyword, value in query.items()]

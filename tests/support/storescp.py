"""DCMTK as a peer: storescp as a destination, dcmsend as a sender. Bytes are kept as received."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.data_set_bytes import MetaInformation, data_set_digest, meta_information
from tests.support.process import Process, environment, free_port, is_listening, run, wait_until

PROGRAMS = ("storescp", "dcmsend", "echoscu")


def is_installed() -> bool:
    """Whether DCMTK's programs are on this machine."""
    path = environment()["PATH"]
    return all(shutil.which(program, path=path) for program in PROGRAMS)


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """One object as the destination wrote it."""

    path: Path
    meta: MetaInformation

    def digest(self) -> str:
        """SHA-256 of its data set."""
        return data_set_digest(self.path)


class StoreScp:
    """A storescp that writes every object into a file of its own, duplicates too.

    `options` are storescp's: `--refuse`, `--abort-after`, `--abort-during`, `--sleep-during 5`,
    `+xi` … It may be stopped and started again on the same port; the files stay.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str = "DEST",
        port: int | None = None,
        options: Sequence[str] = (),
        accept: str = "+xa",
        fork: bool = True,
    ) -> None:
        self.folder = folder
        self.ae_title = ae_title
        self.port = port or free_port()
        self._options = [*(["--fork"] if fork else []), accept, *options]
        self._process: Process | None = None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self, options: Sequence[str] | None = None) -> None:
        """Start (again), with other options when given."""
        if options is not None:
            self._options = ["--fork", "+xa", *options]
        command = ["storescp", *self._options, "-pm", "+B", "+uf", "-pdu", "131072"]
        command += ["-aet", self.ae_title, "-od", str(self.folder), str(self.port)]
        self._process = Process(command, self.folder.with_suffix(".log"))
        wait_until(lambda: self._ended() or is_listening(self.port), what="storescp listens")
        if self._ended():
            raise AssertionError(f"storescp ended at once\n{self._process.tail()}")

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL it and the children that receive."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """Kill, and start on the same port."""
        self.kill()
        self.start()

    def files(self) -> tuple[Path, ...]:
        """Everything it wrote, also what it was still writing when killed."""
        return tuple(sorted(self.folder.iterdir()))

    def count(self) -> int:
        """How many files it wrote."""
        return sum(1 for _ in self.folder.iterdir())

    def received(self) -> tuple[ReceivedFile, ...]:
        """What it received, by reading the meta information; files without one are left out."""
        found = []
        for path in self.files():
            try:
                found.append(ReceivedFile(path, meta_information(path)))
            except (ValueError, FileNotFoundError):
                continue
        return tuple(found)

    def received_uids(self) -> tuple[str, ...]:
        """SOP Instance UIDs, once per file received."""
        return tuple(item.meta.sop_instance_uid for item in self.received())


@dataclass(frozen=True, slots=True)
class SendReport:
    """What dcmsend says it was answered."""

    exit_code: int
    statuses: tuple[tuple[str, str], ...]
    output: str

    @property
    def accepted(self) -> frozenset[str]:
        """SOP Instance UIDs answered with success."""
        return frozenset(uid for uid, status in self.statuses if status.startswith("0x0000"))


def dcmsend(
    port: int,
    paths: Iterable[Path],
    work: Path,
    *,
    calling_ae_title: str = "CT1",
    called_ae_title: str = "EDGE_A",
    options: Sequence[str] = (),
    timeout_seconds: float = 120.0,
) -> SendReport:
    """Send files as they are (no decompression, no halt), and read the report of each."""
    report = work / f"dcmsend-{free_port()}.txt"
    names = work / (report.name + ".in")
    names.write_text("".join(f"{path}\n" for path in paths))
    command = ["dcmsend", "-v", "-dn", "-nh", "-aet", calling_ae_title, "-aec", called_ae_title]
    command += [*options, "+crf", str(report), "127.0.0.1", str(port)]
    command += names.read_text().split("\n")[:-1]
    done = run(command, timeout_seconds=timeout_seconds)
    text = report.read_text(errors="replace") if report.exists() else ""
    statuses = []
    for block in text.split("\n\n"):
        uid = re.search(r"SOP Instance\s*: *(\S+)", block)
        status = re.search(r"DIMSE Status\s*: *(\S+)", block)
        if uid and status:
            statuses.append((uid.group(1), status.group(1)))
    return SendReport(done.returncode, tuple(statuses), done.stdout + done.stderr)

"""The story: what happens in the first minute, told while it happens, checked before it is told.

Everything told was seen: the router runs as its own process, the neighbours count what they got,
and the last line comes from the router's own balance compared with what the scanner was answered.
A step that does not come true within its time ends the story with StoryFailed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from router.clock import Clock
from router.demo.cloud import Cloud
from router.demo.configuration import BROKEN_RULE, Neighbours, write_configuration
from router.demo.images import CT_IMAGE_STORAGE, MR_IMAGE_STORAGE, Image, StudyPlan, make_study
from router.demo.neighbours import PretendArchive, PretendScanner, free_port
from router.threads import Threads

PATIENCE_SECONDS = 60.0
DROP_AFTER_IMAGES = 10
CT_CHEST = StudyPlan(1, "CT", CT_IMAGE_STORAGE, "RX CHEST PA", "DEMO^JANE", "0012", 40)
MR_BRAIN = StudyPlan(2, "MR", MR_IMAGE_STORAGE, "MR BRAIN", "DEMO^JOHN", "0013", 24)


class StoryFailed(Exception):
    """A step did not come true in time; the message says which."""


class Story:
    """One telling, in a folder that is gone afterwards."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._say = say
        self._clock = Clock()
        self._threads = Threads(lambda name, error: say(f"  {name} failed: {error!r}"))
        self._archive = PretendArchive(self._threads, self._clock)
        self._cloud_folder = folder / "cloud"
        self._cloud_folder.mkdir()
        self._cloud = Cloud(folder=self._cloud_folder)
        self._began = time.monotonic()
        self._acknowledged: dict[str, str] = {}
        self.config = folder / "config"
        self._neighbours = Neighbours(
            dicom_port=free_port(),
            http_port=free_port(),
            pacs_port=self._archive.port,
            night_port=free_port(),
            cloud_url=self._cloud.url,
            token_url=self._cloud.token_url,
            client_id="edge-a",
            client_secret="demo-secret",
            scope="dicom.store",
        )
        write_configuration(self.config, self._neighbours, folder / "data")
        self._log = folder / "router.log"
        self._router: subprocess.Popen[str] | None = None

    def tell(self) -> bool:
        """Tell it from the start; whether nothing was lost. Raises StoryFailed."""
        self._cloud.start()
        self._start_router()
        scanner = PretendScanner("CT1", self._neighbours.dicom_port, "EDGE_A")
        self._chest(scanner)
        self._brain(scanner)
        self._broken_rule()
        return self._count()

    def keep_running(self) -> None:
        """Leave the router up until it ends or the reader interrupts."""
        assert self._router is not None
        self._say("  The router stays up. Ctrl-C ends it and removes the folder.")
        token = self._ask("token", "new", "you", "--scope", "all", "--once")["token"]
        self._say(f"  Pages: http://127.0.0.1:{self._neighbours.http_port}/   log in with {token}")
        self._say(f"  Try: dicom-router status --config {self.config}")
        self._router.wait()

    def end(self) -> None:
        """Stop the router and the neighbours."""
        if self._router is not None and self._router.poll() is None:
            self._router.terminate()
            self._router.wait(40)
        self._threads.stop.set()
        self._archive.close()
        self._cloud.close()

    def _start_router(self) -> None:
        with self._log.open("w", encoding="utf-8") as log:
            self._router = subprocess.Popen(
                [*_command("run"), "--config", str(self.config)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._router.stdout is not None
        if self._router.stdout.readline().strip() != "ready":
            raise StoryFailed(f"the router did not start:\n{self._log.read_text('utf-8')}")
        self._say(
            f"  router     DICOM 127.0.0.1:{self._neighbours.dicom_port} (EDGE_A)   "
            f"health http://127.0.0.1:{self._neighbours.http_port}/-/ready"
        )
        words = [f"{name} {self._probe(name)}" for name in ("pacs", "cloud", "night-reading")]
        self._say("  stations   " + "   ".join(words) + "\n")
        self._began = time.monotonic()

    def _probe(self, station: str) -> str:
        answer = self._ask("echo", station)
        return "online" if answer["ok"] else f"offline ({answer['message'].rsplit(': ', 1)[-1]})"

    def _chest(self, scanner: PretendScanner) -> None:
        images = self._send(scanner, CT_CHEST, "study 1 of 2")
        self._until("the archive has study 1", lambda: self._archive_has(images))
        self._tell(f"→ pacs                     {len(images)}/{len(images)} sent      C-STORE")
        self._until("the cloud has study 1", lambda: len(self._cloud.stored()) == len(images))
        name = CT_CHEST.patient_name.encode("ascii")
        if any(name in path.read_bytes() for path in self._cloud_folder.iterdir()):
            raise StoryFailed("the patient's name reached the cloud")
        self._tell(
            f"→ cloud                    {len(images)}/{len(images)} sent      STOW-RS with OAuth, "
            "without the patient's name"
        )

    def _brain(self, scanner: PretendScanner) -> None:
        self._archive.drop_after(DROP_AFTER_IMAGES)
        images = self._send(scanner, MR_BRAIN, "study 2 of 2")
        self._until("the archive drops", self._archive.has_dropped)
        self._tell(
            f"→ pacs                     association dropped after {DROP_AFTER_IMAGES - 1} images"
            "   (we did that on purpose)"
        )
        self._until("the archive has study 2", lambda: self._archive_has(images))
        self._tell(f"→ pacs                     {len(images)}/{len(images)} sent      tried again")
        self._until("the night reading is held", lambda: self._held() == len(images))
        self._tell("→ night-reading            held: offline, goes out when it answers again")

    def _broken_rule(self) -> None:
        broken = self.config / "zz-new-rule.yaml"
        broken.write_text(BROKEN_RULE, encoding="utf-8")
        checked = subprocess.run(
            [*_command("check"), "--config", str(self.config)],
            capture_output=True,
            text=True,
            check=False,
        )
        broken.unlink()
        if checked.returncode != 1:
            raise StoryFailed("the broken rule was not found")
        self._tell("somebody writes a broken rule; `check` says, and the router runs on:\n")
        shown = checked.stdout.split("\n\n")[0]
        self._say("\n".join(f"         {line}" for line in shown.splitlines()) + "\n")

    def _count(self) -> bool:
        balance = self._ask("account")
        kept = sum(
            uid in self._archive.received() and self._archive.received()[uid] == digest
            for uid, digest in self._acknowledged.items()
        )
        lost = len(self._acknowledged) - kept
        word = "balanced" if balance["balanced"] else "NOT BALANCED"
        self._say(
            f"  2 studies, {balance['received']} images received, {balance['delivered']} delivered, "
            f"{balance['held']} held, {lost} lost.   {word}"
        )
        return lost == 0 and bool(balance["balanced"])

    def _send(self, scanner: PretendScanner, plan: StudyPlan, which: str) -> tuple[Image, ...]:
        images = tuple(make_study(plan))
        acknowledged = scanner.send(images)
        if len(acknowledged) != len(images):
            raise StoryFailed(f"only {len(acknowledged)} of {len(images)} images were taken")
        self._acknowledged |= acknowledged
        self._tell(f"ct-1 sent {which}     {plan.description:14} {len(images)} images")
        return images

    def _archive_has(self, images: tuple[Image, ...]) -> bool:
        received = self._archive.received()
        return all(image.sop_instance_uid in received for image in images)

    def _held(self) -> int:
        return int(self._ask("account")["stations"].get("night-reading", {}).get("held", 0))

    def _ask(self, *words: str) -> Any:
        asked = subprocess.run(
            [*_command(*words), "--config", str(self.config), "--format", "json"],
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(asked.stdout)

    def _until(self, what: str, come_true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not come_true():
            if time.monotonic() > deadline:
                raise StoryFailed(f"it did not come true within {PATIENCE_SECONDS:.0f} s: {what}")
            time.sleep(0.05)

    def _tell(self, text: str) -> None:
        self._say(f"  {time.monotonic() - self._began:04.1f}s  {text}")


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "router", *words]

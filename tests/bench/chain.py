"""The chain of programs routers are made of: storescp, tags per file, dcmsend.

    python -m tests.bench.chain PORT DESTINATION_PORT FOLDER

storescp --fork writes files and runs dcmdump per file for the tags rules ask for (as mercure runs
getdcmtags); this dispatcher takes every file whose tags are there and hands the lot to one dcmsend
at a time. dcmdump runs beside the reception: waiting for it (-xs) was slower by a third. It sets
no tags and syncs nothing, so it does less than it is compared with; it looks
every 20 ms, where the original waits for whole series.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

TAGS = (
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "StudyDescription",
    "PatientID",
)
LOOK_SECONDS = 0.02
MOST_FILES = 500


def receiver(port: int, folder: Path) -> list[str]:
    """storescp's command line; tags go beside each file."""
    wanted = " ".join(f"+P {tag}" for tag in TAGS)
    dump = f"dcmdump {wanted} '#p/#f' > '#p/#f.part' && mv '#p/#f.part' '#p/#f.tags'"
    options = ["--fork", "+xa", "-pm", "+uf", "-pdu", "131072", "-aet", "CHAIN"]
    return ["storescp", *options, "-od", str(folder), "-xcr", dump, str(port)]


def ready(folder: Path) -> list[Path]:
    """Files whose tags are there, in the order they were finished."""
    with os.scandir(folder) as entries:
        tags = [(entry.stat().st_mtime_ns, entry.path) for entry in entries if _is_tags(entry.name)]
    return [Path(path.removesuffix(".tags")) for _, path in sorted(tags)[:MOST_FILES]]


def _is_tags(name: str) -> bool:
    return name.endswith(".tags")


def main(port: int, destination_port: int, folder: Path) -> None:
    """Receive and send on until killed."""
    command = receiver(port, folder)
    with subprocess.Popen(command) as storescp:
        while storescp.poll() is None:
            files = ready(folder)
            if not files:
                time.sleep(LOOK_SECONDS)
                continue
            send = ["dcmsend", "-dn", "-nh", "-aec", "SINK", "127.0.0.1", str(destination_port)]
            if subprocess.run([*send, *map(str, files)], check=False).returncode:
                continue
            for path in files:
                path.unlink()
                path.with_name(path.name + ".tags").unlink()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))

"""A router as one writes it in an hour on pynetdicom: receive, set three tags, send on.

    python -m tests.bench.naive PORT DESTINATION_PORT [FOLDER]

With a folder it only receives, and saves files there. It keeps nothing durable and holds what is
not yet sent in memory. Best options given: TCP_NODELAY both ways, unlimited PDUs, one association
to the destination that stays open (its reactor kept quiet), sending in a thread of its own.
"""

from __future__ import annotations

import queue
import socket
import sys
import threading
import time
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, StoragePresentationContexts, evt
from pynetdicom.association import Association

from tests.bench.sink import MARKER

SUCCESS = 0x0000


def no_delay(event: evt.Event) -> None:
    """Answer at once; without this every figure measures the peer's delayed ACK."""
    connection = event.assoc.dul.socket.socket
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def save(event: evt.Event, folder: Path) -> int:
    """Write what arrived as it is, without decoding it."""
    path = folder / f"{event.request.AffectedSOPInstanceUID}.dcm"
    path.write_bytes(event.encoded_dataset())
    return SUCCESS


def enqueue(event: evt.Event, waiting: queue.Queue[Dataset]) -> int:
    """Decode, set three tags, let the sending thread have it."""
    dataset = event.dataset
    dataset.file_meta = event.file_meta
    dataset.InstitutionName = MARKER
    dataset.StationName = "BENCH"
    dataset.AccessionNumber = "B" + str(dataset.get("AccessionNumber", ""))[:15]
    waiting.put(dataset)
    return SUCCESS


def forward(waiting: queue.Queue[Dataset], port: int) -> None:
    """Send everything that comes, on one association that is opened again when it is lost."""
    ae = AE(ae_title="NAIVE")
    ae.maximum_pdu_size = 0
    for context in StoragePresentationContexts[:128]:
        ae.add_requested_context(context.abstract_syntax, ExplicitVRLittleEndian)

    association = quiet(associate(ae, port))
    while True:
        dataset = waiting.get()
        if not association.is_established:
            association = quiet(associate(ae, port))
        association.send_c_store(dataset)


def associate(ae: AE, port: int) -> Association:
    """An association to the destination."""
    return ae.associate("127.0.0.1", port, evt_handlers=[(evt.EVT_CONN_OPEN, no_delay)])


def quiet(association: Association) -> Association:
    """Keep its reactor paused: else it now and then takes a response that `send_c_store` waits for,
    and then each such instance costs 30 s, which is not what is to be compared."""
    checkpoint = association._reactor_checkpoint
    checkpoint.clear()
    checkpoint.set = lambda: None
    time.sleep(0.05)
    return association


def main(port: int, destination_port: int, folder: Path | None) -> None:
    """Serve until killed."""
    ae = AE(ae_title="NAIVE")
    ae.maximum_pdu_size = 0
    ae.maximum_associations = 64
    for context in StoragePresentationContexts:
        ae.add_supported_context(context.abstract_syntax, ExplicitVRLittleEndian)
    waiting: queue.Queue[Dataset] = queue.Queue()
    if folder is None:
        threading.Thread(target=forward, args=(waiting, destination_port), daemon=True).start()
        store = (evt.EVT_C_STORE, enqueue, [waiting])
    else:
        store = (evt.EVT_C_STORE, save, [folder])
    ae.start_server(
        ("127.0.0.1", port), block=True, evt_handlers=[(evt.EVT_CONN_OPEN, no_delay), store]
    )


if __name__ == "__main__":
    keep = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    main(int(sys.argv[1]), int(sys.argv[2]), keep)

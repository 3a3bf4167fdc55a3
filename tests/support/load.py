"""Scanners that never stop sending, and write down every answer outside the router.

Each object has a UID of its own and is sent once, whatever happens: what was acknowledged must
arrive without the scanner's help.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import threading
import time
from collections.abc import Iterator

from tests.support import synthetic, wire
from tests.support.sender import Sender

_RETRY_SECONDS = 0.02
_TRICKLE_SECONDS = 0.02


class Load:
    """`senders` threads that store small objects as fast as they are answered, with a pause behind
    each if one is given, and `tricklers` that send larger ones slowly, so that a fault often meets
    them halfway.

    `acknowledged`: UID → SHA-256 of the data set answered with 0x0000, `answered_at`: UID →
    monotonic seconds of the answer. `unanswered`: sent whole, no
    answer came. `partial`: never sent whole. `refused`: UID → another status. Read after `stop()`.
    """

    def __init__(
        self,
        port: int,
        *,
        senders: int = 3,
        tricklers: int = 1,
        pause_seconds: float = 0.0,
        objects_an_association: int = 1_000_000_000,
        seed: int = 1,
        called_ae_title: str = "EDGE_A",
    ) -> None:
        self.acknowledged: dict[str, str] = {}
        self.answered_at: dict[str, float] = {}
        self.unanswered: set[str] = set()
        self.partial: set[str] = set()
        self.refused: dict[str, int] = {}
        self._port = port
        self._called_ae_title = called_ae_title
        self._seed = seed
        self._pause_seconds = pause_seconds
        self._objects_an_association = objects_an_association
        self._numbers = itertools.count()
        self._sizes = {False: (64, 64), True: (512, 512)}
        self._pausing = threading.Event()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(index, index >= senders), daemon=True)
            for index in range(senders + tricklers)
        ]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every sender finish what it is about, and end."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a sender hangs"

    def forget(self, begin: float, end: float) -> None:
        """Count what was answered between these monotonic times as unanswered: in a real power cut
        no such answer leaves the machine, and a disk that is gone no longer decides its truth."""
        for uid, at in self.answered_at.items():
            if begin <= at <= end:
                self.acknowledged.pop(uid, None)
                self.refused.pop(uid, None)
                self.unanswered.add(uid)

    def _run(self, index: int, trickle: bool) -> None:
        rows, columns = self._sizes[trickle]
        item = template(self._seed * 100 + index, rows=rows, columns=columns)
        rng = random.Random(self._seed * 100 + index)
        contexts = [(item.sop_class_uid, [item.transfer_syntax_uid])]
        while not self._stopping.is_set():
            try:
                sender = Sender(
                    self._port, contexts, called_ae_title=self._called_ae_title, timeout_seconds=30
                )
            except (OSError, wire.Closed, wire.RejectedAssociation):
                time.sleep(_RETRY_SECONDS)
                continue
            try:
                for _ in range(self._objects_an_association):
                    if self._stopping.is_set():
                        break
                    self._store(sender, item, rng, trickle)
                    time.sleep(self._pause_seconds)
                sender.release()
            except (OSError, wire.Closed):
                sender.close()

    def _store(
        self, sender: Sender, item: synthetic.Synthetic, rng: random.Random, trickle: bool
    ) -> None:
        uid, data_set = renumbered(item, next(self._numbers))
        self.partial.add(uid)

        def chunks() -> Iterator[bytes]:
            if trickle:
                step = len(data_set) // 8
                for start in range(0, step * 7, step):
                    yield data_set[start : start + step]
                    time.sleep(rng.uniform(0, _TRICKLE_SECONDS))
                yield data_set[step * 7 :]
            else:
                yield data_set

        def was_sent() -> None:
            self.partial.discard(uid)
            self.unanswered.add(uid)

        status = sender.store(item.sop_class_uid, uid, item.transfer_syntax_uid, chunks(), was_sent)
        self.unanswered.discard(uid)
        self.answered_at[uid] = time.monotonic()
        if status == 0:
            self.acknowledged[uid] = hashlib.sha256(data_set).hexdigest()
        else:
            self.refused[uid] = status


def template(seed: int, **options: object) -> synthetic.Synthetic:
    """An object to make many of, with `renumbered`; options as for `synthetic.instance`."""
    uid = f"{synthetic.UID_ROOT}.7.{seed}.1{0:010}"
    changes = {0x00080018: ("UI", uid)}
    return synthetic.instance(seed, changes=changes, **options)  # type: ignore[arg-type]


def renumbered(item: synthetic.Synthetic, number: int) -> tuple[str, bytes]:
    """The template with a SOP Instance UID of its own, as long as before; no parsing."""
    old = item.sop_instance_uid
    new = f"{old[:-10]}{number:010}"
    return new, item.data_set.replace(old.encode(), new.encode())

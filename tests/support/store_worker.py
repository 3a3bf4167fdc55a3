"""A process that writes records and says, one line each, what was acknowledged.

`python -m tests.support.store_worker FOLDER SEED COUNT INDEX`: four threads commit records of mixed
sizes; after each commit a line `number sha digest` is flushed. With INDEX 1 the ledger books them.
"""

from __future__ import annotations

import hashlib
import random
import sys
import threading
from pathlib import Path

from router.clock import Clock
from tests.support.store_making import open_store, owed


def main() -> None:
    folder, seed, count, index = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    store = open_store(folder, segment_bytes=2_000_000, clock=Clock(), boot_id=f"boot-{seed}")
    out = threading.Lock()

    def work(worker: int) -> None:
        chance = random.Random(seed * 100 + worker)
        for turn in range(count):
            number = seed * 1_000_000 + worker * 10_000 + turn
            size = chance.choice([0, 100, 5_000, 70_000, 300_000, 1_500_000])
            data = chance.randbytes(size)
            if chance.random() < 0.2:
                writer = store.journal.begin()
                writer.append(data)
                writer.abandon()
            store.keep(number, data, owed(), index=bool(index))
            with out:
                sys.stdout.write(f"{number} {hashlib.sha256(data).hexdigest()}\n")
                sys.stdout.flush()

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()


if __name__ == "__main__":
    main()

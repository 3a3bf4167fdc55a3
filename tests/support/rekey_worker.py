"""A process that rotates the key ring and wraps anew, again and again, until it is killed.

`python -m tests.support.rekey_worker FOLDER`: a line for each rotation that came to its end.
"""

from __future__ import annotations

import sys
from pathlib import Path

from router.clock import Clock
from router.store.database import Database
from router.store.rekeying import Rekeying
from tests.support.store_making import open_store


def main() -> None:
    folder = Path(sys.argv[1])
    store = open_store(folder, clock=Clock(), boot_id="rekey")
    database = Database(folder / "ledger" / "ledger.db")
    while True:
        store.keys.rotate()
        done = Rekeying(store.journal, database).run()
        sys.stdout.write(f"{done.records} {len(done.retired)} {len(done.kept)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

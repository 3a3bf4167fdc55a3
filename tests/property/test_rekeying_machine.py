"""A store under rotation, eviction, shredding and damage in any order: what should open does, nothing else.

The model is a dictionary from SOP Instance UID to bytes. After every step all of it can be read by a
process that comes anew, and after a run with nobody else about, one key is left.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from router.model.delivery import Result, State
from router.store.cache_book import CacheBook
from router.store.choosing import Choice
from router.store.eviction import compact
from router.store.keys import KeyRing
from router.store.recovery import recover
from router.store.rekeying import Rekeying
from router.store.verifying import Verified, verify
from tests.support.store_making import open_store, owed, settled

STUDIES = 3
_study = st.integers(0, STUDIES - 1)


class Keeping(RuleBasedStateMachine):
    """One writing process, restarted now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="rekeying-"))
        self.chance = random.Random(1)
        self.held: dict[str, tuple[int, bytes]] = {}
        self.number = 0
        self.open()

    def open(self) -> None:
        self.store = open_store(self.folder, segment_bytes=120_000, boot_id=f"boot-{self.number}")
        recover(self.store.journal, self.store.ledger)
        self.book = CacheBook.open(self.folder / "ledger" / "ledger.db", self.store.clock)
        self.rekeying = Rekeying(self.store.journal, self.book.database)

    def close(self) -> None:
        self.book.close()
        self.store.close()

    @rule(study=_study, size=st.sampled_from([1, 900, 40_000, 300_000]))
    def keep(self, study: int, size: int) -> None:
        self.number += 1
        data = self.chance.randbytes(size)
        entry = self.store.keep(self.number, data, owed(), study=f"1.{study}")
        self.held[entry.instance.sop_instance_uid] = (study, data)
        for leased in self.store.ledger.turn((), {"pacs": 9}, self.store.clock.now()):
            done = [settled(leased, Result.DELIVERED, State.DELIVERED)]
            self.store.ledger.turn(done, {}, self.store.clock.now())

    @rule()
    def rotate(self) -> None:
        self.store.keys.rotate()

    @rule(segments=st.integers(0, 4))
    def rewrap_a_part(self, segments: int) -> None:
        left = iter(range(segments))
        self.rekeying.run(lambda: next(left, None) is not None)

    @rule()
    def rewrap(self) -> None:
        done = self.rekeying.run()
        assert (done.kept, done.damaged) == ({}, 0)
        assert len(KeyRing.open(self.folder / "keys").ring.keys) == 1

    @rule(study=_study)
    def evict(self, study: int) -> None:
        gone = {uid for uid, (of, _) in self.held.items() if of == study}
        assert self.book.forget(Choice(f"1.{study}")) == len(gone)
        self.held = {uid: one for uid, one in self.held.items() if uid not in gone}
        compact(self.store.journal, self.store.ledger, self.book.live_records)

    @precondition(lambda self: self.held)
    @rule(study=_study)
    def shred(self, study: int) -> None:
        gone = {uid for uid, (of, _) in self.held.items() if of == study}
        shredded, _ = self.book.shred(self.store.journal, self.store.ledger, f"1.{study}", "ana")
        assert shredded >= len(gone), "those that were only evicted are shredded too"
        self.held = {uid: one for uid, one in self.held.items() if uid not in gone}

    @rule()
    def restart(self) -> None:
        self.close()
        self.open()

    @invariant()
    def everything_opens(self) -> None:
        other = open_store(self.folder, boot_id="other")
        found = {
            one.instance.sop_instance_uid: other.read(one.record)
            for study in range(STUDIES)
            for one in other.ledger.instances_of_study(f"1.{study}")
            if one.record is not None
        }
        other.close()
        assert found == {uid: data for uid, (_, data) in self.held.items()}
        assert self.store.ledger.account().differences == ()

    def teardown(self) -> None:
        self.rewrap()
        assert list(verify(self.store.journal, self.book.database, Verified())) == []
        self.close()
        shutil.rmtree(self.folder)


TestKeeping = Keeping.TestCase
TestKeeping.settings = settings(
    max_examples=12,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

"""What is held here, for a role that answers others: found by the catalogue, given by the courier.

Ledger and catalogue are the caller's, who closes them. The ledger is not the one that indexes: what is
owed is on stable storage before it is told, while the index of what was received may lag.
"""

from __future__ import annotations

from typing import Final

from router.errors import StoreDown
from router.flow.deliver import Courier, RouterNames
from router.flow.finding import Finder
from router.flow.giving import Giving
from router.flow.held import HeldHeaders
from router.pixels.codecs import Codecs
from router.plugs import morphs_by_name
from router.serve.intaking import Receiving
from router.serve.process import Role
from router.store.catalogue import Catalogue
from router.store.ledger import Ledger

# Half of the time, at most, is spent on loading: receiving goes on meanwhile.
BREATH_SECONDS: Final = 0.01


class Holdings:
    """Finder and giving of one process, over a ledger and a catalogue."""

    def __init__(
        self, role: Role, receiving: Receiving, ledger: Ledger, catalogue: Catalogue
    ) -> None:
        self._role = role
        self.ledger = ledger
        self.catalogue = catalogue
        journal, settings = receiving.journal, role.plan.router
        headers = HeldHeaders(lambda: role.plan, journal, receiving.hooks)
        self.finder = Finder(catalogue, ledger, headers, role.clock)
        names = RouterNames(settings.name, settings.organization, receiving.mapping_key)
        self.codecs = Codecs()
        courier = Courier(journal, ledger, morphs_by_name(), names, self.codecs)
        self.giving = Giving(ledger, journal, courier, role.clock)

    def load(self) -> None:
        """Begin to load the catalogue, in a thread; whoever asks earlier waits for it."""
        self._role.threads.start("catalogue", self._load)

    def _load(self) -> None:
        role = self._role
        began = role.clock.monotonic()

        def breathe() -> None:
            role.clock.wait(role.threads.stop, BREATH_SECONDS)

        try:
            self.catalogue.follow(breathe)
        except StoreDown as error:  # the first query tries again
            role.log.warning("the catalogue cannot be loaded", reason=str(error))
            return
        seconds = round(role.clock.monotonic() - began, 3)
        damaged = self.catalogue.damaged
        role.log.info("catalogue loaded", seconds=seconds, damaged_series=damaged)

"""Whether an instance is kept where it was owed: every case, and never because it is held here."""

import pytest

from router.flow.verdict import UNKNOWN_SECONDS, VERIFY_SECONDS, verdict
from router.model.commitment import COMMITTED, Reference
from router.model.delivery import Disposition, State
from router.model.recipe import Recipe
from router.store.commitments import Held, Owing

CT = "1.2.840.10008.5.1.4.1.1.2"
ASKED = Reference(CT, "1.2.3")
AS_IT_IS = Recipe.of([]).steps
OTHER = [Recipe.of([("deidentify", {})]).steps, Recipe.of([("remap_uids", {})]).steps]


def held(*owed, disposition=Disposition.ROUTED):
    return Held(CT, disposition, tuple(Owing(*one, AS_IT_IS) for one in owed))


@pytest.mark.parametrize(
    ("what", "waited", "expected"),
    [
        (None, 0.0, None),
        (None, UNKNOWN_SECONDS, 0x0112),
        (Held("1.2.840.10008.5.1.4.1.1.4", Disposition.ROUTED, ()), 0.0, 0x0119),
        (held(disposition=Disposition.UNMATCHED), 0.0, 0x0110),
        (held(disposition=Disposition.DISCARDED), 0.0, 0x0110),
        (held(disposition=Disposition.QUARANTINED), 0.0, 0x0110),
        (held(("cold", State.DELIVERED)), 0.0, COMMITTED),
        (held(("cold", State.QUEUED)), 0.0, None),
        (held(("cold", State.SENDING)), 0.0, None),
        (held(("pacs", State.SENT)), 0.0, None),
        (held(("pacs", State.SENT)), VERIFY_SECONDS, 0x0110),
        (held(("cold", State.DEAD)), 0.0, 0x0110),
        (held(("cold", State.CANCELLED)), 0.0, 0x0110),
        (held(("cold", State.DELIVERED), ("ws", State.QUEUED)), 0.0, None),
        (held(("cold", State.DELIVERED), ("ws", State.DEAD)), 0.0, 0x0110),
        # Of these `pacs` commits: it decides alone, for and against.
        (held(("pacs", State.DELIVERED), ("ws", State.DEAD)), 0.0, COMMITTED),
        (held(("pacs", State.SENT), ("ws", State.DELIVERED)), 0.0, None),
        (held(("pacs", State.DEAD), ("ws", State.DELIVERED)), 0.0, 0x0110),
        # Sent once more after it was delivered, and the other way round.
        (held(("cold", State.DELIVERED), ("cold", State.QUEUED)), 0.0, COMMITTED),
        (held(("cold", State.DEAD), ("cold", State.QUEUED)), 0.0, None),
        # What moved on counts where it went.
        (held(("pacs", State.MOVED), ("cold", State.QUEUED)), 0.0, None),
        (held(("pacs", State.MOVED), ("cold", State.DELIVERED)), 0.0, COMMITTED),
    ],
)
def test_p9_verdicts(what, waited, expected):
    assert verdict(ASKED, what, {"pacs"}, waited) == expected


@pytest.mark.parametrize("steps", OTHER)
def test_a_copy_under_another_identity_is_no_copy(steps):
    copy = Owing("cloud", State.DELIVERED, steps)
    assert verdict(ASKED, Held(CT, Disposition.ROUTED, (copy,)), (), 0.0) == 0x0110
    whole = Owing("cold", State.DELIVERED, AS_IT_IS)
    assert verdict(ASKED, Held(CT, Disposition.ROUTED, (copy, whole)), (), 0.0) == COMMITTED

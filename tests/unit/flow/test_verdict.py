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


DEIDENTIFIED = Recipe.of([("deidentify", {})]).steps
REMAPPED = Recipe.of([("remap_uids", True)]).steps


@pytest.mark.parametrize(
    ("owed", "expected"),
    [
        ([("cloud", State.DELIVERED, DEIDENTIFIED)], 0x0110),
        ([("pacs", State.DELIVERED, DEIDENTIFIED)], 0x0110),
        ([("cloud", State.DELIVERED, DEIDENTIFIED), ("cold", State.DELIVERED, AS_IT_IS)], COMMITTED),
        # Other UIDs: a copy where the station committed to keep it under them, and only there.
        ([("cloud", State.DELIVERED, REMAPPED)], 0x0110),
        ([("pacs", State.DELIVERED, REMAPPED)], COMMITTED),
        ([("pacs", State.SENT, REMAPPED)], None),
        ([("pacs", State.DELIVERED, REMAPPED), ("cold", State.QUEUED, AS_IT_IS)], None),
        ([("pacs", State.DEAD, REMAPPED), ("cold", State.DELIVERED, AS_IT_IS)], 0x0110),
        ([("pacs", State.DELIVERED, REMAPPED), ("pacs", State.DEAD, AS_IT_IS)], 0x0110),
        ([("pacs", State.DELIVERED, REMAPPED), ("archive-2", State.SENT, AS_IT_IS)], None),
    ],
)  # fmt: skip
def test_a_copy_under_another_identity_is_no_copy(owed, expected):
    held = Held(CT, Disposition.ROUTED, tuple(Owing(*one) for one in owed))
    assert verdict(ASKED, held, {"pacs", "archive-2"}, 0.0) == expected


@pytest.mark.parametrize(("number", "expected"), [(90, 0), (91, 0x0110)])
def test_a_copy_that_was_compressed_with_loss_is_no_copy(number, expected):
    steps = f'[["transfer_syntax","1.2.840.10008.1.2.4.{number}"]]'
    held = Held(CT, Disposition.ROUTED, (Owing("pacs", State.DELIVERED, steps),))
    assert verdict(ASKED, held, {"pacs"}, 0.0) == expected


def test_a_folder_is_no_archive():
    file, copy = Owing("shared", State.DELIVERED, AS_IT_IS), Owing("cold", State.QUEUED, AS_IT_IS)
    only = Held(CT, Disposition.ROUTED, (file,))
    assert verdict(ASKED, only, (), 0.0, {"shared"}) == 0x0110
    both = Held(CT, Disposition.ROUTED, (file, copy))
    assert verdict(ASKED, both, (), 0.0, {"shared"}) is None


def test_the_reason_is_the_one_the_station_gave():
    lost = Owing("pacs", State.DEAD, AS_IT_IS, 0x0112)
    kept = Owing("archive-2", State.DELIVERED, AS_IT_IS)
    held = Held(CT, Disposition.ROUTED, (kept, lost))
    assert verdict(ASKED, held, {"pacs", "archive-2"}, 0.0) == 0x0112
    # Sent once more since: what it said before is over.
    again = Owing("pacs", State.QUEUED, AS_IT_IS, 0x0112)
    assert verdict(ASKED, Held(CT, Disposition.ROUTED, (kept, again)), {"pacs"}, 0.0) is None

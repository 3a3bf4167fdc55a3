"""What stations ask by DIMSE is in the audit trail before the last answer leaves, and only once."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import pytest

from router.dicom.identifier import encode_identifier
from router.dimse.command import C_FIND_RQ, C_GET_RQ, C_MOVE_RQ
from router.dimse.handlers import Calling, OperationAnswer, OperationRequest, SubOperations
from router.errors import Refused, StoreFull
from router.flow.audited import Audited, refused_association, refused_tls
from router.flow.auditing import REPEAT_SECONDS, AuditLog
from router.model.catalogue import SeriesEntry
from router.model.instance import Source
from router.model.query import DataElement
from router.store.audit import AuditTrail
from router.store.catalogue import sealed_row
from router.store.cataloguing import put
from router.telemetry.metrics import Metrics
from tests.support.audit_schema import faults
from tests.support.store_making import TestClock

SYNTAX = "1.2.840.10008.1.2.1"
IDENTIFIER = encode_identifier(
    {0x0020000D: DataElement("UI", ("1.2.3",)), 0x00100020: DataElement("LO", ("PID-1",))},
    SYNTAX,
    "ISO_IR 100",
)


class Site:
    def __init__(self, folder):
        self.trail = AuditTrail.open(folder / "ledger.db", folder / "keys")
        self.clock, self.metrics = TestClock(), Metrics()
        self.plan = SimpleNamespace(
            router=SimpleNamespace(name="edge", organization="A", ae_title="EDGE_A")
        )
        self.errors, self.studies = [], ("1.2.3",)
        log = SimpleNamespace(error=lambda *told, **_: self.errors.append(told))
        self.audit = AuditLog(self.trail, self.plan, self.clock, log, self.metrics)

    def rows(self):
        return [(one.event, one.outcome, one.who, one.what) for one in self.trail.page(50)][::-1]

    def ask(self, field, answers, take=99):
        """Ask, and take so many answers; what was in the trail as each was given."""

        def operate(_request, _exchange):
            for one in answers:
                if isinstance(one, Exception):
                    raise one
                yield one

        source = Source("lan", "WS1", "EDGE_A", "10.0.0.7", "ws-1")
        request = OperationRequest(
            source, field, "1.2.840.10008.5.1.4.1.2.2.1", 1, IDENTIFIER, SYNTAX
        )
        audited = Audited(operate, lambda _: self.studies, self.audit, self.plan)
        given = audited.operate(request, None)
        seen = []
        for number, _ in enumerate(given, 1):
            seen.append(len(self.rows()))
            if number == take:
                given.close()
                break
        return seen


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    assert made.trail.verify().faults == ()
    for row, message in made.trail.after(0, 99):
        assert faults(message) == [], row
    made.trail.close()


PENDING, DONE = OperationAnswer(0xFF00), OperationAnswer(0)


def test_a_query_is_told_with_its_identifier_before_the_last_answer(site):
    assert site.ask(C_FIND_RQ, [PENDING, PENDING, DONE]) == [0, 0, 1]
    assert site.rows() == [("queried", 0, "ws-1", "EDGE_A")]
    root = ET.fromstring(site.trail.message(1))
    query = root.findtext("ParticipantObjectIdentification/ParticipantObjectQuery")
    assert base64.b64decode(query) == IDENTIFIER


def test_a_query_that_fails_is_told_as_failed(site):
    site.ask(C_FIND_RQ, [PENDING, OperationAnswer(0xA700)])
    with pytest.raises(OSError, match="gone"):
        site.ask(C_FIND_RQ, [OSError("gone")])
    assert [row[:2] for row in site.rows()] == [("queried", 4)] * 2


def test_a_query_that_is_left_is_told(site):
    assert site.ask(C_FIND_RQ, [PENDING, PENDING, DONE], take=1) == [0]
    assert [row[0] for row in site.rows()] == ["queried"]


def test_c_get_tells_whose_study_was_sent_and_c_move_is_left_to_its_tasks(site):
    attributes = {0x00100020: "PID-1", 0x00100010: "A^B"}
    row = sealed_row(SeriesEntry("1.2.3", "1.2.3.1", "1.2.9", attributes), site.trail.keys.primary)
    with site.trail.database.write() as connection:
        put(connection, 0, [row])
    site.ask(C_GET_RQ, [OperationAnswer(0xB000, counts=SubOperations(0, 3, 1))])
    site.ask(C_MOVE_RQ, [DONE])
    assert site.rows() == [("sent", 4, "ws-1", "1.2.3")]
    root = ET.fromstring(site.trail.message(1))
    assert "3 instances sent, 1 failed" in ET.tostring(root, encoding="unicode")
    patient = root.findall("ParticipantObjectIdentification")[1]
    assert patient.attrib["ParticipantObjectID"] == "PID-1"


def test_c_get_tells_every_study_of_a_patient_and_what_nobody_knows_whose_it_is(site):
    """A C-GET at the level of the patient names no study."""
    site.studies = ("1.2.3", "1.9")
    site.ask(C_GET_RQ, [OperationAnswer(0, counts=SubOperations(None, 5, 0))])
    site.studies = ()
    site.ask(C_GET_RQ, [OperationAnswer(0, counts=SubOperations(None, 5, 0))])
    site.ask(C_GET_RQ, [OperationAnswer(0, counts=SubOperations(None, 0, 0))])
    assert [row[1:] for row in site.rows()] == [
        (0, "ws-1", "1.2.3"), (0, "ws-1", "1.9"), (0, "ws-1", ""),
    ]  # fmt: skip


def test_c_get_that_could_not_be_done_is_no_success(site):
    site.ask(C_GET_RQ, [OperationAnswer(0xA701, "too many requests at once, try again later")])
    assert site.rows() == [("sent", 4, "ws-1", "1.2.3")]


def test_p14_who_may_not_is_told_and_a_flood_is_told_once_in_a_while(site):
    for _ in range(5):
        with pytest.raises(Refused):
            site.ask(C_FIND_RQ, [Refused("not permitted to query or retrieve here")])
    for number in range(5):
        calling = Calling("lan", f"X{number}", "EDGE_A", "10.9.9.9")
        refused_association(site.audit, site.plan, calling, "no station")
    assert [row[:2] for row in site.rows()] == [
        ("operation_refused", 8), ("association_refused", 8),
    ]  # fmt: skip
    site.clock.time += REPEAT_SECONDS
    refused_association(site.audit, site.plan, Calling("lan", "X", "E", "10.9.9.9"), "no station")
    assert len(site.rows()) == 3


def test_F6_a_full_disk_loses_the_message_not_the_answer_and_says_so(site, monkeypatch):
    def full(_entries):
        raise StoreFull("no room left for the ledger")

    monkeypatch.setattr(site.trail, "append", full)
    assert site.ask(C_FIND_RQ, [PENDING, DONE]) == [0, 0]
    assert len(site.errors) == 1
    assert b'dicom_router_audit_lost_total{event="queried"} 1.0' in site.metrics.text()


def test_a_certificate_that_is_not_accepted_is_told(site):
    for _ in range(3):
        refused_tls(
            site.audit, site.plan, listener="lan-tls", address="10.9.9.9", reason="TLS: unknown ca"
        )
    assert site.rows() == [("association_refused", 8, "10.9.9.9", "10.9.9.9")]

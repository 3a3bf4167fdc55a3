"""A modality and an archive that speak Storage Commitment, by pynetdicom; each on a port of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
)

from tests.support.router_process import Router
from tests.support.scanner import scan
from tests.support.synthetic import Synthetic

WELL_KNOWN = "1.2.840.10008.1.20.1.1"
Named = tuple[str, str]


def request(references: Sequence[Named], transaction_uid: str = "") -> Dataset:
    """The data set of an N-ACTION for these (SOP class, instance)."""
    asked = Dataset()
    asked.TransactionUID = transaction_uid or generate_uid()
    asked.ReferencedSOPSequence = [_item(one) for one in references]
    return asked


def sent(edge: Router, images: Sequence[Synthetic]) -> list[Named]:
    """Have the scanner send them; their names for `request`."""
    assert set(scan(edge.port, images).values()) == {0}
    return [(one.sop_class_uid, one.sop_instance_uid) for one in images]


def uids(references: Sequence[Named]) -> set[str]:
    """The instances among them."""
    return {uid for _, uid in references}


def report(asked: Dataset, failed: dict[str, int]) -> tuple[int, Dataset]:
    """Event type and data set that answer a request; `failed` is the reason by instance UID."""
    told = Dataset()
    told.TransactionUID = asked.TransactionUID
    kept, lost = [], []
    for item in asked.ReferencedSOPSequence:
        named = (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
        if named[1] in failed:
            lost.append(_item(named))
            lost[-1].FailureReason = failed[named[1]]
        else:
            kept.append(_item(named))
    if kept:
        told.ReferencedSOPSequence = kept
    if lost:
        told.FailedSOPSequence = lost
    return (2 if lost else 1), told


def _item(named: Named) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = named
    return item


@dataclass
class Told:
    """One report that came: its event type, data set, and whether the role of provider was asked."""

    event_type: int
    data_set: Dataset
    is_provider: bool

    @property
    def committed(self) -> set[str]:
        """The instances it says are kept."""
        return {
            str(i.ReferencedSOPInstanceUID) for i in self.data_set.get("ReferencedSOPSequence", [])
        }

    @property
    def failed(self) -> dict[str, int]:
        """The Failure Reason of those that are not."""
        items = self.data_set.get("FailedSOPSequence", [])
        return {str(item.ReferencedSOPInstanceUID): int(item.FailureReason) for item in items}


@dataclass
class Modality:
    """Asks the router, and hears reports on `port` while it is `up`; `status` is its answer."""

    router_port: int
    port: int
    title: str = "CT1"
    status: int = 0x0000
    reports: list[Told] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server: object | None = None
        self._came = threading.Condition()

    def up(self) -> None:
        """Listen."""
        ae = AE(self.title)
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        handlers = [(evt.EVT_N_EVENT_REPORT, self._take)]
        self._server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)

    def down(self) -> None:
        """Be away."""
        if self._server is not None:
            self._server.shutdown()  # type: ignore[attr-defined]
            self._server = None

    def _take(self, event: evt.Event) -> tuple[int, None]:
        roles = event.assoc.requestor.role_selection
        role = roles.get(StorageCommitmentPushModel)
        told = Told(event.event_type, event.event_information, bool(role and role.scp_role))
        with self._came:
            if self.status == 0:
                self.reports.append(told)
            self._came.notify_all()
        return self.status, None

    def await_reports(self, number: int, seconds: float = 30.0) -> list[Told]:
        """The reports, once so many came."""
        with self._came:
            came = self._came.wait_for(lambda: len(self.reports) >= number, seconds)
        assert came, f"{len(self.reports)} reports came, not {number}"
        return self.reports

    def ask(self, asked: Dataset, *, action: int = 1, instance: str = WELL_KNOWN) -> int:
        """N-ACTION: the router's status."""
        ae = AE(self.title)
        ae.add_requested_context(StorageCommitmentPushModel)
        association = ae.associate("127.0.0.1", self.router_port, ae_title="EDGE_A")
        assert association.is_established
        try:
            status, _ = association.send_n_action(
                asked, action, StorageCommitmentPushModel, instance
            )
            return int(status.Status)
        finally:
            association.release()

    def tell(self, event_type: int, told: Dataset) -> int:
        """N-EVENT-REPORT to the router, with the role of provider: its status."""
        ae = AE(self.title)
        ae.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        association = ae.associate("127.0.0.1", self.router_port, ae_title="EDGE_A", ext_neg=[role])
        assert association.is_established
        try:
            assert association.accepted_contexts[0].as_scp
            status, _ = association.send_n_event_report(
                told, event_type, StorageCommitmentPushModel, WELL_KNOWN
            )
            return int(status.Status)
        finally:
            association.release()


class Archive:
    """Stores and commits: `answer` makes (event type, data set) of a request, or None for silence.

    `same_association` reports before the request's association ends, else on one of its own.
    A search finds what is stored, but for `hidden` SOP instance UIDs; `finds` counts searches for images.
    """

    def __init__(
        self,
        port: int,
        router_port: int,
        answer: Callable[[Dataset], tuple[int, Dataset] | None] = lambda asked: report(asked, {}),
        *,
        title: str = "PACS",
        same_association: bool = False,
        action_status: int = 0x0000,
    ) -> None:
        self.answer = answer
        self.action_status = action_status
        self.stored: list[str] = []
        self.hidden: set[str] = set()
        self.finds = 0
        self._held: dict[str, Dataset] = {}
        self.requests: list[Dataset] = []
        self.statuses: list[int] = []
        self._caller = Modality(router_port, 0, title)
        self._same = same_association
        ae = AE(title)
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(context.abstract_syntax)
        ae.add_supported_context("1.2.840.10008.1.1")
        ae.add_supported_context(StorageCommitmentPushModel)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        handlers = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_ACTION, self._asked),
            (evt.EVT_C_FIND, self._find),
        ]
        self._server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()

    def _store(self, event: evt.Event) -> int:
        self.stored.append(str(event.request.AffectedSOPInstanceUID))
        self._held[self.stored[-1]] = event.dataset
        return 0x0000

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset]]:
        asked = event.identifier
        level, given = asked.QueryRetrieveLevel, set()
        self.finds += level == "IMAGE"
        for uid, one in self._held.items():
            if uid in self.hidden or one.StudyInstanceUID != asked.StudyInstanceUID:
                continue
            answer = Dataset()
            answer.QueryRetrieveLevel = level
            answer.SeriesInstanceUID = one.SeriesInstanceUID
            if level == "IMAGE":
                if asked.SeriesInstanceUID != one.SeriesInstanceUID:
                    continue
                answer.SOPInstanceUID, answer.SOPClassUID = uid, one.SOPClassUID
            if str(answer) not in given:
                given.add(str(answer))
                yield 0xFF00, answer

    def _asked(self, event: evt.Event) -> tuple[int, None]:
        asked = event.action_information
        self.requests.append(asked)
        if self.action_status == 0:
            told = self.answer(asked)
            if told is not None:
                threading.Thread(target=self._tell, args=(event.assoc, *told), daemon=True).start()
        return self.action_status, None

    def _tell(self, association: object, event_type: int, told: Dataset) -> None:
        if not self._same:
            self.statuses.append(self._caller.tell(event_type, told))
            return
        threading.Event().wait(0.3)  # behind the response to the N-ACTION
        status, _ = association.send_n_event_report(  # type: ignore[attr-defined]
            told, event_type, StorageCommitmentPushModel, WELL_KNOWN
        )
        self.statuses.append(int(status.Status))

"""Intake: one instance in. Bytes go to the record, the passing header to the rules, then the answer.

The order is the promise (P1): room, bytes, decision, record on stable storage, answer. Whatever
goes wrong before the record is durable leaves nothing behind (P3) and is answered by a status that
tells the sender whether to try again. What goes wrong in a rule never loses an image: the instance
is kept, quarantined, and answered 0x0000 (protocols 6.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from router.clock import Clock
from router.dicom.header import HeaderReader
from router.dicom.uid_names import uid_name
from router.errors import BadDataset, MorphFailed, RouterError, StoreDown, StoreFull
from router.flow.indexer import Indexer
from router.flow.received import ReceiveHooks, Tape, assumed_character_set, receive_recipe
from router.flow.rejections import as_note, wanted
from router.flow.route import decide
from router.match.facts import Facts, Header
from router.model.delivery import Disposition
from router.model.instance import Instance, Source
from router.model.plan import Plan
from router.model.rejection import KEY_OBJECT_SELECTION
from router.model.rule import Decision
from router.model.status import DATA_SET_MISMATCH, SUCCESS
from router.store.envelope import encode
from router.store.journal import Journal
from router.store.ledger import Indexed
from router.store.records import Writer
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
MODALITY = 0x00080060
PATIENT_ID = 0x00100020
ISSUER_OF_PATIENT_ID = 0x00100021
ACCESSION_NUMBER = 0x00080050


@dataclass(frozen=True, slots=True)
class Arrival:
    """An instance that is about to arrive: what the request says of it, and who sends it.

    UIDs are empty where only the data set says them. One that is not `is_routed` is kept to be
    handed out: no rule is asked, nothing is owed. Where `study_instance_uid` is known beforehand,
    it must be of that study.
    """

    source: Source
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    is_routed: bool = True
    study_instance_uid: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender hears. `comment` is at most 64 characters and without patient data.

    The UIDs are those of what was taken, as its data set says them.
    """

    status: int
    comment: str = ""
    offending_tags: tuple[int, ...] = ()
    sop_class_uid: str = ""
    sop_instance_uid: str = ""


class Intake:
    """Takes instances under a plan into one journal. Called by many threads at once."""

    def __init__(
        self,
        plan: Callable[[], Plan],
        journal: Journal,
        indexer: Indexer,
        hooks: ReceiveHooks,
        clock: Clock,
        log: Log,
        metrics: Metrics,
    ) -> None:
        self._plan = plan
        self._hooks = hooks
        self._journal = journal
        self._indexer = indexer
        self._clock = clock
        self._log = log
        self._metrics = metrics

    def take(self, arrival: Arrival, chunks: Iterator[memoryview]) -> Answer:
        """Receive one instance and say what to answer. Raises only what `chunks` raises.

        The bytes are pulled from `chunks`; where the answer is known before the end, the rest is
        left to the caller to drain.
        """
        try:
            answer = self._take(arrival, chunks)
        except StoreFull as error:
            answer = self._failed(arrival, error, "no room, try again later", "full")
        except StoreDown as error:
            answer = self._failed(arrival, error, "storage unavailable", "store_down")
        except BadDataset as error:
            self._log.warning(
                "data set refused",
                station=arrival.source.station or "-",
                sop_instance_uid=arrival.sop_instance_uid,
                reason=str(error),
            )
            answer = Answer(error.status, str(error)[:64], error.offending_tags)
            self._ended(arrival, "bad_data_set")
        return answer

    def _failed(self, arrival: Arrival, error: RouterError, comment: str, outcome: str) -> Answer:
        station = arrival.source.station or "-"
        self._log.error("instance not accepted", station=station, reason=str(error))
        self._ended(arrival, outcome)
        return Answer(error.dimse_status, comment)

    def _take(self, arrival: Arrival, chunks: Iterator[memoryview]) -> Answer:
        plan = self._plan()
        self._indexer.check()
        character_set = assumed_character_set(plan, arrival.source)
        needs = wanted(plan, arrival.sop_class_uid)
        reader = HeaderReader(
            arrival.transfer_syntax_uid, needs, default_character_set=character_set
        )
        tape = None if receive_recipe(plan, arrival.source).is_empty else Tape()
        writer = self._journal.begin()
        try:
            for view in chunks if tape is None else tape.passing(chunks):
                reader.feed(view)
                writer.append(view)
            reader.finish()
            arrival = _with_real_uids(arrival, reader)
            _check_uids(arrival, reader)
            instance = self._instance(arrival, reader, writer, character_set)
            if arrival.is_routed:
                decision = self._decide(plan, reader, instance, tape)
                if instance.sop_class_uid == KEY_OBJECT_SELECTION:
                    decision = self._rejecting(plan, reader, instance, decision)
            else:
                decision = self._undecided(plan, instance, Disposition.ROUTED)
            if decision.refusal is not None:
                writer.abandon()
                self._ended(arrival, "refused")
                if self._log.is_tapped:
                    self._tell(instance, decision)
                return Answer(decision.refusal.status, decision.refusal.comment)
            ref = writer.commit(encode(instance, decision, plan.digest))
        except BaseException:
            writer.abandon()
            raise
        self._indexer.put(Indexed(ref, instance, decision, plan.digest))
        self._count(instance, decision)
        return Answer(SUCCESS, "", (), arrival.sop_class_uid, arrival.sop_instance_uid)

    def _instance(
        self, arrival: Arrival, reader: HeaderReader, writer: Writer, character_set: str
    ) -> Instance:
        return Instance(
            sop_class_uid=arrival.sop_class_uid,
            sop_instance_uid=arrival.sop_instance_uid,
            study_instance_uid=reader.text(STUDY_INSTANCE_UID),
            series_instance_uid=reader.text(SERIES_INSTANCE_UID),
            transfer_syntax_uid=arrival.transfer_syntax_uid,
            modality=reader.text(MODALITY),
            patient_id=reader.text(PATIENT_ID),
            issuer_of_patient_id=reader.text(ISSUER_OF_PATIENT_ID),
            accession_number=reader.text(ACCESSION_NUMBER),
            data_set_length=reader.data_set_length,
            header_length=reader.header_length,
            content_digest=writer.digest(),
            received_at=self._clock.now(),
            source=arrival.source,
            assumed_character_set=character_set,
        )

    def _decide(
        self, plan: Plan, reader: HeaderReader, instance: Instance, tape: Tape | None
    ) -> Decision:
        began = self._clock.monotonic()
        decision = self._decided(plan, reader, instance, tape)
        self._metrics.rule_evaluation_seconds.observe(self._clock.monotonic() - began)
        return decision

    def _decided(
        self, plan: Plan, reader: HeaderReader, instance: Instance, tape: Tape | None
    ) -> Decision:
        try:
            facts = Facts(
                header=reader if tape is None else self._hooked(plan, instance, tape),
                source=instance.source,
                transfer_syntax_uid=instance.transfer_syntax_uid,
                sop_class_uid=instance.sop_class_uid,
                received_at=instance.received_at,
                organization=plan.router.organization,
            )
            return decide(plan, facts)
        except MorphFailed as error:
            # What a station's morph cannot be applied to must not leave as it is (P4).
            self._log.error(
                "the receive hook failed, instance quarantined",
                station=instance.source.station or "-",
                sop_instance_uid=instance.sop_instance_uid,
                reason=str(error),
            )
            return self._quarantined(plan, instance)
        except BadDataset as error:
            # A sequence a rule asks about is broken; the image itself is whole, so it is kept.
            self._log.error(
                "routing cannot read the header, instance quarantined", reason=str(error)
            )
            return self._quarantined(plan, instance)
        except Exception as error:  # noqa: BLE001 - a crashing rule must not cost the image
            self._log.bug("routing failed, instance quarantined", error)
            return self._quarantined(plan, instance)

    def _rejecting(
        self, plan: Plan, reader: HeaderReader, instance: Instance, decision: Decision
    ) -> Decision:
        """The decision about a Key Object Selection document, with what it rejects."""
        try:
            decision = as_note(plan, decision, instance.source.station, reader)
        except BadDataset as error:
            self._log.error("a rejection note cannot be read, quarantined", reason=str(error))
            return self._quarantined(plan, instance)
        if decision.rejection is not None:
            self._metrics.rejection_notes.add(decision.rejection.code)
            self._log.info(
                "rejection note",
                station=instance.source.station or "-",
                code=decision.rejection.code,
                objects=len(decision.rejection.references),
            )
        return decision

    def _quarantined(self, plan: Plan, instance: Instance) -> Decision:
        return self._undecided(plan, instance, Disposition.QUARANTINED)

    def _undecided(self, plan: Plan, instance: Instance, disposition: Disposition) -> Decision:
        return Decision(disposition, (), (), receive=receive_recipe(plan, instance.source))

    def _hooked(self, plan: Plan, instance: Instance, tape: Tape) -> Header:
        octets = tape.read, instance.header_length
        return self._hooks.header(
            plan, instance.source, instance.received_at, instance.transfer_syntax_uid, octets
        )

    def _count(self, instance: Instance, decision: Decision) -> None:
        station = instance.source.station or "-"
        # Peers choose UIDs: those that are not registered are one series.
        sop_class = uid_name(instance.sop_class_uid) or "other"
        self._metrics.instances_received.add(station, sop_class, decision.disposition.value)
        self._metrics.received_bytes.add(station, amount=instance.data_set_length)
        for rule in decision.rules:
            self._metrics.rule_matches.add(rule)
        if self._log.is_tapped:
            self._tell(instance, decision)

    def _ended(self, arrival: Arrival, outcome: str) -> None:
        """An instance that was not taken."""
        station = arrival.source.station or "-"
        sop_class = uid_name(arrival.sop_class_uid) or "other"
        self._metrics.instances_received.add(station, sop_class, outcome)

    def _tell(self, instance: Instance, decision: Decision) -> None:
        refused = decision.refusal is not None
        facts = {
            "station": instance.source.station or "-",
            "listener": instance.source.listener,
            "outcome": "refused" if refused else decision.disposition.value,
            "sop_class": uid_name(instance.sop_class_uid) or "other",
            "bytes": instance.data_set_length,
            "rules": list(decision.rules),
            "to": sorted({owed.station for owed in decision.owed}),
        }
        identifying = {
            "patient_id": instance.patient_id,
            "accession_number": instance.accession_number,
            "study_instance_uid": instance.study_instance_uid,
            "sop_instance_uid": instance.sop_instance_uid,
        }
        self._log.passed("instance", facts, identifying)


def _with_real_uids(arrival: Arrival, reader: HeaderReader) -> Arrival:
    """Where the request names no UID, or a bare number for one, the data set's UID is the one.

    Senders that read a UID stored with VR UN as hexadecimal give a number; they name nothing else
    by it.
    """
    named = arrival.sop_instance_uid
    if arrival.sop_class_uid and named and not named.isdigit():
        return arrival
    return replace(
        arrival,
        sop_class_uid=arrival.sop_class_uid or reader.text(SOP_CLASS_UID),
        sop_instance_uid=reader.text(SOP_INSTANCE_UID),
    )


def _check_uids(arrival: Arrival, reader: HeaderReader) -> None:
    """The request and the data set must name the same object (protocols 6.1: 0xA900)."""
    for tag, said, what in (
        (SOP_INSTANCE_UID, arrival.sop_instance_uid, "SOP Instance UID"),
        (SOP_CLASS_UID, arrival.sop_class_uid, "SOP Class UID"),
    ):
        held = reader.text(tag)
        if not held:
            raise BadDataset(f"the data set has no {what}", DATA_SET_MISMATCH, (tag,))
        if held != said:
            raise BadDataset(f"{what} of command and data set differ", DATA_SET_MISMATCH, (tag,))
    study = arrival.study_instance_uid
    if study and reader.text(STUDY_INSTANCE_UID) != study:
        raise BadDataset("it is of another study", DATA_SET_MISMATCH, (STUDY_INSTANCE_UID,))

"""Storage Commitment with a DICOM station: asking it, and reporting to it (PS3.4 J.3).

It may report on the association of the request, for which we stay a little, or on one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol, runtime_checkable

from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from router.dicomweb.words import scrubbed
from router.dimse import command as commands
from router.dimse import commitment, pdv
from router.dimse.client import ClientAssociation, StoreResponse
from router.dimse.command import Command
from router.dimse.commitment import STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE
from router.dimse.handlers import StoreAnswer
from router.errors import BadDataset, Busy, Rejected, RouterError, StoreDown, StoreFull
from router.model.commitment import CommitmentReport, CommitmentRequest
from router.model.status import RESOURCE_LIMITATION, SUCCESS, UNRECOGNISED_OPERATION, describe

STAY_SECONDS: Final = 3.0
_SYNTAXES: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
_CONTEXTS: Final = tuple((STORAGE_COMMITMENT, syntax) for syntax in _SYNTAXES)

TakeReport = Callable[[CommitmentReport], int]


class Connected(Protocol):
    """Opens an association with a station."""

    def __call__(
        self,
        contexts: Sequence[tuple[str, str]],
        timeout_seconds: float,
        roles: Mapping[str, tuple[bool, bool]] | None = None,
    ) -> ClientAssociation:
        """Raises a DeliveryError."""


@runtime_checkable
class Committing(Protocol):
    """A peer that can be asked to commit, and be reported to."""

    def ask_commitment(
        self, request: CommitmentRequest, asked: Callable[[], None], take: TakeReport
    ) -> None:
        """Ask it; `asked` is told when it took the request, `take` any report, and gives a status.

        Raises a DeliveryError when it did not take the request.
        """

    def report_commitment(self, report: CommitmentReport) -> None:
        """Tell it what was committed. Raises a DeliveryError when it did not take that."""

    def close(self) -> None:
        """Let go of its connections."""


def ask(
    connected: Connected,
    timeout_seconds: float,
    request: CommitmentRequest,
    asked: Callable[[], None],
    take: TakeReport,
) -> None:
    """See `Committing.ask_commitment`; we are the user, as is the default."""
    with connected(_CONTEXTS, timeout_seconds) as association:
        response = association.notify(
            STORAGE_COMMITMENT,
            lambda message_id: commands.action(
                message_id, STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE, commitment.REQUEST_ACTION
            ),
            {one: commitment.encode_request(request, one) for one in _SYNTAXES},
        )
        _check("N-ACTION", response)
        asked()
        # The request is taken: what happens to the association now is no fault of it.
        try:
            association.notified(STAY_SECONDS, partial(_answer, take))
        except RouterError:
            association.abort()


def report(connected: Connected, timeout_seconds: float, told: CommitmentReport) -> None:
    """See `Committing.report_commitment`; we ask to be the provider (PS3.4 J.3.3.1.4)."""
    roles = {STORAGE_COMMITMENT: (False, True)}
    with connected(_CONTEXTS, timeout_seconds, roles) as association:
        response = association.notify(
            STORAGE_COMMITMENT,
            lambda message_id: commands.event_report(
                message_id, STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE, commitment.event_type(told)
            ),
            {one: commitment.encode_report(told, one) for one in _SYNTAXES},
        )
        _check("N-EVENT-REPORT", response)


def _answer(take: TakeReport, command: Command, syntax: str, stream: pdv.PduStream) -> bytes:
    """The answer to a report that came on the association of the request."""
    status = UNRECOGNISED_OPERATION
    try:
        data = commitment.read_data_set(stream) if command.announces_data_set else b""
        if command.field == commands.N_EVENT_REPORT_RQ:
            status = take(commitment.decode_report(data, syntax))
    except BadDataset as error:
        status = error.status
    except (StoreDown, StoreFull):
        status = RESOURCE_LIMITATION  # it may report again
    return commitment.response(command, StoreAnswer(status))


def _check(service: str, response: StoreResponse) -> None:
    if response.status == SUCCESS or response.status >> 12 == 0xB:
        return
    words = f"{service}: {describe(response.status)}"
    if response.comment:
        words = f"{words}: {scrubbed(response.comment, 64)}"
    kind = Busy if response.status == RESOURCE_LIMITATION else Rejected
    raise kind(words, response.status)

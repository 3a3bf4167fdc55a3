"""Syslog over TLS: RFC 5424 messages in RFC 5425 frames.

Syslog has no receipt. A batch goes over a connection of its own, which we end by close_notify: that
the receiver ends it too, in order, shows that it has read to the end. Whatever else happens (a reset,
silence, an error) counts as not received, and the batch is sent again.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_PRIORITY: Final = 10 * 8 + 5  # authpriv, notice
_MESSAGE_ID: Final = "DICOM+RFC3881"
_BOM: Final = b"\xef\xbb\xbf"
_MOST_SEQUENCE: Final = 2_147_483_647
TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class SyslogRecord:
    """One message: when, its number in the trail, and its text in UTF-8."""

    at: float
    number: int
    text: bytes


def framed(record: SyslogRecord, host: str) -> bytes:
    """The record as a frame. The number is told as `sequenceId` (RFC 5424 7.3.1): gaps show."""
    at = datetime.fromtimestamp(record.at, UTC).isoformat(timespec="milliseconds")
    stamp = at.replace("+00:00", "Z")
    number = (record.number - 1) % _MOST_SEQUENCE + 1
    head = (
        f"<{_PRIORITY}>1 {stamp} {_printable(host)} dicom-router {os.getpid()} {_MESSAGE_ID} "
        f'[meta sequenceId="{number}"] '
    )
    whole = head.encode("ascii") + _BOM + record.text
    return f"{len(whole)} ".encode() + whole


def ship(
    records: Sequence[SyslogRecord],
    host: str,
    port: int,
    context: ssl.SSLContext,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> None:
    """Send them all and see the receiver end the connection in order. Raises OSError."""
    name = socket.gethostname()
    with (
        socket.create_connection((host, port), timeout_seconds) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        connection.settimeout(timeout_seconds)
        for record in records:
            connection.sendall(framed(record, name))
        try:
            connection.unwrap()
        except ssl.SSLEOFError:
            # An end without close_notify, but an end: a receiver that had left bytes of ours
            # unread would have reset the connection (RFC 1122 4.2.2.13).
            return
        except ssl.SSLError as error:
            if "APPLICATION_DATA_AFTER_CLOSE_NOTIFY" not in str(error):
                raise


def _printable(text: str) -> str:
    """A host name as RFC 5424 6.2.4 takes it."""
    shown = "".join(char for char in text[:255] if "!" <= char <= "~")
    return shown or "-"

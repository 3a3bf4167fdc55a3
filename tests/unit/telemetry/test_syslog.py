"""Syslog over TLS: frames as RFC 5424 and 5425 have them, and what counts as received."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading

import pytest

from router.dimse.certificates import self_signed
from router.telemetry.syslog import SyslogRecord, framed, ship

RECORDS = [SyslogRecord(1_000_000.5 + n, n, f"<AuditMessage n='{n}'>日本</AuditMessage>".encode())
           for n in range(1, 40)]  # fmt: skip


def test_a_frame_is_of_the_standards():
    frame = framed(RECORDS[0], "edge host\x00é")
    length, _, message = frame.partition(b" ")
    assert int(length) == len(message)
    pattern = rb'<85>1 1970-01-12T13:46:41\.500Z edgehost dicom-router \d+ DICOM\+RFC3881 \[meta sequenceId="1"\] \xef\xbb\xbf'
    found = re.match(pattern, message)
    assert found and message[found.end() :] == RECORDS[0].text
    wrapped = framed(SyslogRecord(0.0, 2_147_483_648, b""), "")
    assert b" - dicom-router" in wrapped and b'sequenceId="1"' in wrapped


class Receiver:
    """A TLS server for one connection that ends it in the way it is told to."""

    def __init__(self, folder, ending):
        certificate, key = self_signed(("localhost",), 2)
        (folder / "c.pem").write_bytes(certificate)
        (folder / "k.pem").write_bytes(key)
        self.context = ssl.create_default_context(cafile=str(folder / "c.pem"))
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.load_cert_chain(folder / "c.pem", folder / "k.pem")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.received = b""
        self._ending = ending
        self.may_end = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        plain, _ = self._listening.accept()
        try:
            connection = self._server.wrap_socket(plain, server_side=True)
        except OSError:
            return
        with connection:
            if self._ending in {"orderly", "abrupt"}:
                while piece := connection.recv(65536):
                    self.received += piece
                if self._ending == "orderly":
                    connection.unwrap()
            elif self._ending == "silent":
                self.may_end.wait(20)
            else:
                connection.recv(100)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self):
        self.may_end.set()
        self._thread.join()
        self._listening.close()


@pytest.mark.parametrize("ending", ["orderly", "abrupt"])
def test_what_was_read_to_its_end_counts_as_received(tmp_path, ending):
    receiver = Receiver(tmp_path, ending)
    ship(RECORDS, "localhost", receiver.port, receiver.context, 10.0)
    receiver.close()
    found, rest = [], receiver.received
    while rest:
        length, _, rest = rest.partition(b" ")
        found.append(rest[: int(length)].partition(b"\xef\xbb\xbf")[2])
        rest = rest[int(length) :]
    assert found == [one.text for one in RECORDS]


@pytest.mark.parametrize("ending", ["reset", "silent"])
def test_F30_a_reset_and_silence_count_as_not_received(tmp_path, ending):
    receiver = Receiver(tmp_path, ending)
    large = [SyslogRecord(0.0, n, b"x" * 50_000) for n in range(1, 100)]
    with pytest.raises(OSError):
        ship(large, "localhost", receiver.port, receiver.context, 0.5)
    receiver.close()


def test_silence_after_a_batch_that_fits_the_buffers_counts_as_not_received(tmp_path):
    receiver = Receiver(tmp_path, "silent")
    with pytest.raises(OSError):
        ship(RECORDS[:1], "localhost", receiver.port, receiver.context, 0.5)
    receiver.close()


def test_a_receiver_that_is_not_the_named_one_gets_nothing(tmp_path):
    receiver = Receiver(tmp_path, "orderly")
    with pytest.raises(ssl.SSLCertVerificationError):
        ship(RECORDS, "127.0.0.1", receiver.port, receiver.context, 5.0)
    receiver.close()
    assert receiver.received == b""

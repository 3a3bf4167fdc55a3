"""Facts: what rules are asked about one instance, each attribute looked up once.

The attributes of its header, who sent it, and when. A thousand rules over the same attribute cost
one decoding: `read` keeps what it found. One Facts belongs to one thread and one instance.
"""

from __future__ import annotations

import ipaddress
import time
from typing import Any, Final, Protocol

from router.dicom.values import Attribute
from router.model.instance import Source
from router.model.path import Path

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Values = tuple[str | int | float, ...]


class Header(Protocol):
    """What facts need of a data set: a header while it arrives, or one read from a file."""

    def get(self, path: Path) -> Attribute | None:
        """The attribute, None when it is absent."""
        ...


NOT_READ: Final = object()


class Facts:
    """One instance as its rules see it. `received_at` is seconds since the epoch.

    `seen` holds the values found so far by the text of their path, None for absent attributes;
    an attribute nobody asked for yet gives NOT_READ to `seen.get(text, NOT_READ)`.
    """

    __slots__ = (
        "_address",
        "_header",
        "_local_time",
        "organization",
        "received_at",
        "seen",
        "sop_class_uid",
        "source",
        "transfer_syntax_uid",
    )

    def __init__(
        self,
        header: Header,
        source: Source,
        transfer_syntax_uid: str,
        sop_class_uid: str,
        received_at: float,
        organization: str = "",
    ) -> None:
        self._header = header
        self.source = source
        self.transfer_syntax_uid = transfer_syntax_uid
        self.sop_class_uid = sop_class_uid
        self.received_at = received_at
        self.organization = organization
        self.seen: dict[str, Any] = {}
        self._local_time: tuple[int, int] | None = None
        self._address: tuple[Address | None] | None = None

    def read(self, path: Path) -> Values | None:
        """The values of an attribute without trailing padding; () without a value, None if absent.

        Raises BadDataset, as the header does, where the bytes of a sequence are no sequence.
        """
        attribute = self._header.get(path)
        values: Values | None = None
        if attribute is not None:
            values = tuple(
                value.rstrip(" \0") if isinstance(value, str) else value
                for value in attribute.values
            )
            if all(value == "" for value in values):
                values = ()
        self.seen[path.text] = values
        return values

    @property
    def local_time(self) -> tuple[int, int]:
        """Minute of the local day (0 to 1439) and weekday (Monday is 0) of the arrival."""
        if self._local_time is None:
            local = time.localtime(self.received_at)
            self._local_time = (local.tm_hour * 60 + local.tm_min, local.tm_wday)
        return self._local_time

    @property
    def address(self) -> Address | None:
        """The sender's network address, an IPv4 one also when it came mapped into IPv6."""
        if self._address is None:
            self._address = (parse_address(self.source.address),)
        return self._address[0]


def parse_address(text: str) -> Address | None:
    """The address in the text, None when it is none."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address

"""What the service manager is told (sd_notify): that the router is ready, and that it stops.

Nothing is told where nobody asked to be ($NOTIFY_SOCKET), and a manager that is gone stops nothing.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def tell_manager(state: str) -> None:
    """Tell it `READY=1` or `STOPPING=1`."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    # A leading @ stands for the zero byte of the abstract name space.
    where = f"\0{address[1:]}" if address.startswith("@") else address
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
        suppress(OSError),
    ):
        channel.sendto(state.encode(), where)

"""A hook whose TLS files are gone is a message that is tried again, not a role that cannot start."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from router.clock import Clock
from router.errors import Rejected
from router.model.notices import Webhook
from router.model.station import Secret, TlsProfile
from router.serve.webhooks import session_of


def test_files_that_cannot_be_used_are_the_hooks_trouble(tmp_path):
    profile = TlsProfile("hospital", None, None, tmp_path / "gone.pem")
    role = SimpleNamespace(plan=SimpleNamespace(tls={"hospital": profile}), clock=Clock())
    hook = Webhook("ops", "https://x/", Secret("env", "X"), tls="hospital")
    with pytest.raises(Rejected, match="hospital"):
        session_of(role, hook)

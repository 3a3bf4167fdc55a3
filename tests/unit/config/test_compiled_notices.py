"""Audit and webhooks: each key becomes its value in the model, and mistakes are told where they are."""

from __future__ import annotations

import pytest

from router.model.notices import AuditSettings, SyslogReceiver, Webhook
from router.model.station import Secret
from tests.support.configuration import loaded, write

TLS = "tls: {hospital: {ca: ca.pem}}\n"
HOOK = "webhooks: {ops: {url: 'https://x.example/h', secret: {file: s}}}"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ca.pem").write_text("x")
    (tmp_path / "s").write_text("x")
    return tmp_path


def plan(folder, text):
    result = loaded(folder, text)
    assert result.errors == (), result.render()
    return result.plan


def test_without_a_section_there_is_no_receiver_and_no_hook(folder):
    seen = plan(folder, "rules: []")
    assert seen.audit == AuditSettings() and seen.audit.syslog is None and seen.webhooks == {}


def test_every_key_of_audit(folder):
    seen = plan(folder, TLS + "audit: {syslog: {host: a.example, tls: hospital}, keep: 30d}")
    assert seen.audit == AuditSettings(SyslogReceiver("a.example", 6514, "hospital"), 30 * 86_400.0)
    other = plan(folder, TLS + "audit: {syslog: {host: a.example, port: 7, tls: hospital}}")
    assert other.audit.syslog.port == 7 and other.audit.keep_seconds == 2190 * 86_400.0


def test_every_key_of_a_webhook(folder):
    secret = Secret("file", "s")
    assert plan(folder, HOOK).webhooks == {"ops": Webhook("ops", "https://x.example/h", secret)}
    text = TLS + (
        "webhooks: {ops: {url: 'http://127.0.0.1:9/h', secret: {file: s}, tls: hospital,"
        " events: [task.failed], timeout: 2s, give_up: 1h}}"
    )
    expected = Webhook(
        "ops", "http://127.0.0.1:9/h", secret, frozenset({"task.failed"}), "hospital", 2.0, 3600.0
    )
    assert plan(folder, text).webhooks == {"ops": expected}


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("audit: {syslog: {host: a, tls: hospitall}}", "DR202", "no TLS profile 'hospitall'"),
        ("audit: {syslog: {host: a}}", "DR103", "tls"),
        ("audit: {kep: 3d}", "DR101", "kep"),
        (HOOK.replace("https", "http"), "DR403", "this machine"),
        (HOOK.replace("file: s", "file: none"), "DR401", "none"),
        (HOOK.replace(", secret: {file: s}", ""), "DR103", "secret"),
        (HOOK.replace("{file: s}", "literal"), "DR107", "secret"),
        (HOOK.replace("secret:", "tls: nothing, secret:"), "DR202", "nothing"),
        (HOOK.replace("secret:", "events: [task.done], secret:"), "DR104", "task"),
    ],
)
def test_a_mistake_is_told(folder, text, code, words):
    errors = loaded(folder, TLS + text).errors
    assert [one.code for one in errors] == [code], errors
    assert words in f"{errors[0].message} {errors[0].hint} {errors[0].path}"


def test_two_files_may_each_have_a_hook(folder):
    write(folder, other=HOOK)
    second = HOOK.replace("ops", "night")
    assert set(plan(folder, second).webhooks) == {"ops", "night"}

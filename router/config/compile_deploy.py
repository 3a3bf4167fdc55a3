"""Meaning of section `deploy`. Nothing is asked over the network: what is named here is only read."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from router.config import shapes_deploy, units
from router.config.compile_auth import credentials
from router.config.context import Context
from router.config.nodes import Mapping, Node, PathPart, node_at, place_at
from router.config.references import check_tls_name, is_loopback
from router.model.deployment import DeploySettings
from router.model.station import OAuth

SHORTEST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 3600.0
_SECTION: Final[tuple[PathPart, ...]] = ("deploy",)


def deploy(document: Mapping, context: Context, tls: Collection[str]) -> DeploySettings | None:
    """Section `deploy`; None where no branch is followed."""
    node = document.get("deploy")
    if node is None:
        return None
    key_place = document.entries["deploy"].key.place
    data = context.shapes.check(node, shapes_deploy.DEPLOY, _SECTION, key_place).data
    auth = credentials(shapes_deploy.AUTH, data, node, _SECTION, context)
    signers = _signers(data, node, context)
    check_tls_name(data.get("tls"), tls, node, _SECTION, context)
    times = {key: _seconds(key, data, node, context) for key in ("every", "timeout")}
    if "repository" not in data:
        return None
    _check_address(data, node, context)
    base = DeploySettings(data["repository"], data.get("branch", "main"))
    assert not isinstance(auth, OAuth)
    return DeploySettings(
        base.repository,
        base.branch,
        data.get("path", "").strip("/"),
        times["every"] or base.every_seconds,
        times["timeout"] or base.timeout_seconds,
        signers,
        data.get("tls"),
        auth,
    )


def _seconds(key: str, data: dict[str, Any], node: Node, context: Context) -> float | None:
    """A time within its bounds (DR105); None where it is not written."""
    if key not in data:
        return None
    found = units.seconds(data[key])
    longest = LONGEST_SECONDS if key == "timeout" else float("inf")
    if not SHORTEST_SECONDS <= found <= longest:
        bounds = "from 1s to 1h" if key == "timeout" else "1s or longer"
        wrong = node_at(node, (key,)) or node
        context.error("DR105", f"deploy.{key} must be {bounds}", wrong, (*_SECTION, key))
    return found


def _signers(data: dict[str, Any], node: Node, context: Context) -> Path | None:
    """Who may sign; a signature is asked for unless the file says otherwise (DR103, DR106)."""
    written = node_at(node, ("allowed_signers",))
    if not data.get("require_signature", True):
        if written is not None:
            message = "allowed_signers are named, but no signature is required"
            hint = "leave require_signature out, or the signers"
            context.error("DR106", message, written, (*_SECTION, "allowed_signers"), hint)
        return None
    if written is None or "allowed_signers" not in data:
        if written is None:
            hint = "or say require_signature: false: then whoever can push decides what runs"
            message = "deploy needs 'allowed_signers': commits must be signed"
            place = place_at(node, (), at_key=True)
            context.report.error("DR103", message, place, path="deploy", hint=hint)
        return None
    path = (*_SECTION, "allowed_signers")
    return context.file(data["allowed_signers"], written, path, "the file of allowed signers")


def _check_address(data: dict[str, Any], node: Node, context: Context) -> None:
    """What is written fits the kind of address (DR106, DR403)."""
    address = data["repository"]
    scheme = urlsplit(address).scheme if "://" in address else "ssh"
    kind = "local" if address.startswith("/") else scheme
    wrong = node_at(node, ("repository",)) or node
    if kind == "http" and not is_loopback(urlsplit(address).hostname or ""):
        message = "a repository without TLS may only be on this machine"
        context.error("DR403", message, wrong, (*_SECTION, "repository"), "write https://")
    written = data.get("auth", {}).get("type")
    if kind == "ssh" and "auth" not in data:
        message = "a repository over SSH needs auth: {type: ssh, key, known_hosts}"
        context.error("DR103", message, wrong, (*_SECTION, "repository"))
    fitting = {"ssh": ("ssh",), "local": ()}.get(kind, ("bearer", "basic"))
    if written in shapes_deploy.AUTH and written not in fitting:
        at = node_at(node, ("auth", "type")) or node
        words = "this machine" if kind == "local" else f"{kind}"
        context.error(
            "DR106", f"auth '{written}' does not go with {words}", at, (*_SECTION, "auth")
        )
    if "tls" in data and kind != "https":
        at = node_at(node, ("tls",)) or node
        context.error("DR106", "tls goes with https:// only", at, (*_SECTION, "tls"))

"""Meaning of `auth`: how we authenticate with a station, or with the repository that is followed."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from pathlib import Path
from typing import Any

from router.config.context import Context
from router.config.nodes import Node, PathPart, node_at, place_at
from router.config.shapes import Fragment
from router.model.deployment import SshKey
from router.model.station import Auth, Basic, Bearer, OAuth


def credentials(
    kinds: AnyMapping[str, Fragment],
    owner: AnyMapping[str, Any],
    node: Node,
    path: tuple[PathPart, ...],
    context: Context,
) -> Auth | SshKey | None:
    """What stands under the `auth` of its owner; None when nothing does, or nothing that holds."""
    written = node_at(node, ("auth",))
    kind = owner.get("auth", {}).get("type")
    if written is None or kind not in kinds:
        return None
    at: tuple[PathPart, ...] = (*path, "auth")
    place = place_at(node, ("auth",), at_key=True)
    checked = context.shapes.check(written, kinds[kind], at, place)
    data = checked.data
    for key in ("client_secret", "private_key", "token", "password"):
        if key in data:
            data[key] = context.secret(data[key], node_at(written, (key,)), (*at, key))
    if not checked.is_fine:
        return None
    if kind == "oauth2":
        return _oauth(data, written, at, context)
    if kind == "ssh":
        return _ssh_key(data, written, at, context)
    return Bearer(data["token"]) if kind == "bearer" else Basic(data["username"], data["password"])


def _ssh_key(
    data: AnyMapping[str, str], node: Node, path: tuple[PathPart, ...], context: Context
) -> SshKey:
    words = {"key": "the key file", "known_hosts": "the file of known hosts"}
    files = {
        key: context.file(data[key], node_at(node, (key,)) or node, (*path, key), words[key])
        for key in words
    }
    return SshKey(**files)


def _oauth(
    data: AnyMapping[str, Any], node: Node, path: tuple[PathPart, ...], context: Context
) -> OAuth | None:
    key = data.get("private_key")
    if ("client_secret" in data) == (key is not None):
        message = "oauth2 needs exactly one of client_secret and private_key"
        context.error("DR103", message, node_at(node, ("type",)) or node, path)
        return None
    if key is not None and key.kind == "env":
        wrong = node_at(node, ("private_key",)) or node
        context.error("DR220", "private_key must be a file", wrong, (*path, "private_key"))
        return None
    scope = data.get("scope", [])
    return OAuth(
        token_url=data["token_url"],
        client_id=data["client_id"],
        scope=(scope,) if isinstance(scope, str) else tuple(scope),
        client_secret=data.get("client_secret"),
        private_key=Path(context.folder / key.name) if key is not None else None,
        key_id=data.get("key_id"),
        audience=data.get("audience"),
        resource=data.get("resource"),
        send_secret_in=data.get("send_secret_in", "body"),
    )

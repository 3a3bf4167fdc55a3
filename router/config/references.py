"""Names and what they refer to: named things of a section, kinds, TLS profiles, hosts."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from typing import Any

from router.config.context import Context
from router.config.nodes import Entry, Mapping, Node, PathPart, node_at, show_path
from router.config.suggest import did_you_mean
from router.config.wording import unknown_key, wrong_choice
from router.model.words import is_one_slip


def named(document: Mapping, section: str, context: Context) -> list[tuple[str, Entry]]:
    """The named things of a section; names that cannot be used are reported (DR105)."""
    node = document.get(section)
    if not isinstance(node, Mapping):
        return []
    for name, entry in node.entries.items():
        plain_name = name.replace("-", "").replace("_", "").replace(".", "")
        if not plain_name.isalnum() or not plain_name.isascii() or len(name) > 64:
            message = f"'{name}' cannot be a name in {section}"
            hint = "letters, digits, '-', '_' and '.', at most 64"
            path = f"{section}.{name}"
            context.report.error("DR105", message, entry.key.place, path=path, hint=hint)
    return list(node.entries.items())


def kind_of(
    entry: Entry, kinds: Any, default: str | None, path: tuple[PathPart, ...], context: Context
) -> str | None:
    """The word after `type:`, or None with a problem when it is missing or unknown."""
    node = entry.value
    written = node_at(node, ("type",))
    if written is None:
        slip = next((e.key for e in _entries(node) if is_one_slip(e.key.text, "type")), None)
        if slip is not None:
            shown = show_path((*path, slip.text))
            words = unknown_key(slip.text, ["type"], show_path(path))
            context.report.error(words.code, words.message, slip.place, path=shown, hint=words.hint)
            return None
        if isinstance(node, Mapping) and default is None:
            shown = show_path(path)
            message = f"{shown} needs 'type': {', '.join(kinds)}"
            context.report.error("DR103", message, entry.key.place, path=shown)
        return default if isinstance(node, Mapping) else next(iter(kinds))
    kind = getattr(written, "value", None)
    if isinstance(kind, str) and kind in kinds:
        return kind
    words_ = wrong_choice(list(kinds), kind)
    context.error(words_.code, words_.message, written, (*path, "type"), words_.hint)
    return None


def _entries(node: Node) -> list[Entry]:
    return list(node.entries.values()) if isinstance(node, Mapping) else []


def check_tls_name(
    name: str | None,
    tls: Collection[str],
    node: Node,
    path: tuple[PathPart, ...],
    context: Context,
) -> None:
    """A profile that is named must be defined (DR202)."""
    if name is not None and name not in tls:
        wrong = node_at(node, ("tls",)) or node
        hint = did_you_mean(name, tls) or "define it under 'tls:'"
        context.error("DR202", f"no TLS profile '{name}' is defined", wrong, (*path, "tls"), hint)


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() in ("localhost", "localhost.localdomain", "ip6-localhost")

"""From one document to the plan: every section compiled, every problem in one report."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from router.config import (
    compile_deploy,
    compile_listeners,
    compile_notices,
    compile_organizations,
    compile_router,
    compile_stations,
    lint,
)
from router.config.compile_morphs import Morphs
from router.config.compile_rules import Rules
from router.config.context import Context
from router.config.nodes import Mapping, plain, raw
from router.config.releases import revision_of
from router.model.plan import Plan

# Where numbers keep the text they were written as, so that the digest tells 0012 from 12.
_RAW_SECTIONS: Final = ("rules", "morphs", "tables")


def compile_document(document: Mapping, context: Context, loaded_at: float) -> Plan | None:
    """The plan, or None when the report holds an error. `loaded_at`: seconds since the epoch."""
    router = compile_router.settings(document, context)
    tls = compile_router.tls_profiles(document, context)
    listeners = compile_listeners.listeners(document, context, router, tls)
    morphs = Morphs(document, context)
    home = (router.organization or router.name) if router else ""
    organizations = compile_organizations.organizations(document, context, home)
    stations = compile_stations.stations(document, context, tls, morphs, organizations)
    rules = Rules(document, context, stations, morphs).compile()
    store = compile_router.store(document, context)
    audit = compile_notices.audit(document, context, tls)
    webhooks = compile_notices.webhooks(document, context, tls)
    deploy = compile_deploy.deploy(document, context, tls)
    if context.report.has_errors or router is None:
        return None
    lint.advise(rules, stations, context.report)
    return Plan(
        digest=digest(document),
        folder=Path(context.folder),
        router=router,
        listeners=listeners,
        tls=tls,
        stations=stations,
        rules=rules,
        store=store,
        audit=audit,
        webhooks=webhooks,
        deploy=deploy,
        organizations=organizations.known,
        loaded_at=loaded_at,
        revision=revision_of(Path(context.folder)),
    )


def digest(document: Mapping) -> str:
    """SHA-256 of what was written: not of comments, layout, or the order of mappings and files."""
    value = written(document)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def written(document: Mapping) -> dict[str, Any]:
    """What was written, by section, without comments and layout: what the digest is of."""
    return {
        name: raw(entry.value) if name in _RAW_SECTIONS else plain(entry.value)
        for name, entry in document.entries.items()
    }

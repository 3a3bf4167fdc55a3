"""The cache and its keys: what is held, letting go of it, fetching into it, rotating the keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from router.errors import Refused
from router.flow.cache_told import damaged_json, keys_json, prefetch_json
from router.flow.letting_go import Wish, shredded_event
from router.flow.prefetching import wanted_of
from router.model.audit import Participant
from router.store.choosing import Choice
from router.store.prefetches import BATCH, CAP, MOST, Prefetch, Wanted
from router.store.segment import journal_bytes
from router.store.verifying import Verified, verify
from router.web.api.call import (
    Body,
    Call,
    Endpoint,
    Reply,
    Wrong,
    flag,
    many,
    maybe,
    record,
    text,
    whole,
)
from router.web.audited import keys_changed
from router.web.services import Services

_SHOWN: Final = 1000
MOST_SECONDS: Final = 100 * 366 * 86_400
MOST_BYTES: Final = 2**63 - 1


def show(services: Services, _call: Call) -> dict[str, Any]:
    """What the journal takes, what of it may go, what runs into it, its keys."""
    free, needed = services.cache.amounts(Choice())
    return {
        "journal_bytes": journal_bytes(services.journal.folder),
        "max_bytes": services.plan.store.max_bytes,
        "keep_seconds": services.plan.store.keep_seconds,
        "kept": asdict(free),
        "owed": asdict(needed),
        **show_keys(services, _call),
    }


def show_keys(services: Services, _call: Call) -> dict[str, Any]:
    """Every key by the beginning of its id, never itself."""
    services.journal.keys.refresh()
    return keys_json(services.journal.keys.ring, services.running.rekeying())


def rotate(services: Services, call: Call) -> dict[str, Any]:
    """Make a new primary key; the running router wraps the rest anew."""
    made = services.journal.keys.rotate(services.clock.now())
    words = f"key rotation: key {made.name} is the primary one"
    keys_changed(services.audit, services.plan, call.identity.name, call.address, words)
    return show_keys(services, call)


def evict(services: Services, call: Call) -> dict[str, Any]:
    """Let go of what is chosen; with `dry_run` only say what would go."""
    wanted: Mapping[str, Any] = call.body
    names = ("study", "station", "older_than_seconds", "to_bytes")
    given = [name for name in names if wanted.get(name) is not None]
    if not given or ("to_bytes" in given and len(given) > 1):
        raise Wrong(422, "name study, station or older_than_seconds; or to_bytes alone")
    age, most = wanted.get("older_than_seconds"), wanted.get("to_bytes")
    if not 0 <= (age or 0) <= MOST_SECONDS or not 0 <= (most or 0) <= MOST_BYTES:
        raise Wrong(
            422, "older_than_seconds and to_bytes are neither below 0 nor beyond all bounds"
        )
    before = None if age is None else services.clock.now() - age
    wish = Wish(Choice(wanted.get("study"), wanted.get("station"), before), most)
    is_dry = bool(wanted.get("dry_run"))
    told = (services.letting_go.foretold if is_dry else services.letting_go.done)(wish)
    return {**asdict(told), "dry_run": is_dry}


def shred(services: Services, call: Call) -> dict[str, Any]:
    """Make a study unreadable for good; with `dry_run` only say what would be."""
    study, is_dry = call.body["study"], bool(call.body.get("dry_run"))
    going = services.letting_go
    try:
        foretold = going.shred_foretold(study)
        if not foretold.studies:
            raise Wrong(404, "nothing was ever received of that study")
        if is_dry:
            return {**asdict(foretold), "dry_run": True}
        whose = services.audit.whose(study)
        told = going.shredded(study, call.identity.name)
    except Refused as error:
        raise Wrong(409, str(error)) from None
    person = Participant(call.identity.name, is_requestor=True, address=call.address)
    now = services.clock.now()
    services.audit.note(shredded_event(services.plan, now, person, study, whose, told.shredded))
    return {**asdict(told), "dry_run": False}


def verify_study(services: Services, call: Call) -> dict[str, Any]:
    """Read every record of a study to its end, and name those that do not open."""
    done = Verified()
    found = verify(services.journal, services.cache.database, done, call.body["study"])
    damaged = [damaged_json(one) for one in found]
    return {**done.counts(), "records_that_do_not_open": damaged[:_SHOWN]}


def prefetch(services: Services, call: Call) -> Reply:
    """Have studies, series and instances here, in their order; answered at once."""
    items, batch, cap = call.body["items"], call.body.get("batch", BATCH), call.body.get("cap", CAP)
    if not 1 <= batch <= CAP or not 1 <= cap <= MOST:
        raise Wrong(422, f"batch is a number from 1 to {CAP}, cap one from 1 to {MOST}")
    if not 1 <= len(items) <= MOST:
        raise Wrong(422, f"items: 1 to {MOST} of them")
    wanted = [_wanted(services, one) for one in items]
    made = services.cache.prefetch(call.identity.name, wanted, batch, cap)
    return Reply(prefetch_json(made), status=202)


def _wanted(services: Services, item: Any) -> Wanted:
    names = ("station", "study", "series", "instance")
    if not isinstance(item, dict) or set(item) - set(names):
        raise Wrong(422, "an item has a station, a study, and maybe series and instance")
    found = [item.get(name, "") for name in names]
    if not all(isinstance(one, str) for one in found):
        raise Wrong(422, "station, study, series and instance are texts")
    return wanted_of(services.plan, *found)


def list_prefetches(services: Services, _call: Call) -> dict[str, Any]:
    """The last prefetches, the latest first."""
    return {"prefetches": [prefetch_json(one) for one in services.cache.prefetches()]}


def show_prefetch(services: Services, call: Call) -> dict[str, Any]:
    """One prefetch, item by item."""
    return prefetch_json(_known(services, call))


def cancel_prefetch(services: Services, call: Call) -> dict[str, Any]:
    """Fetch nothing more of it; what is being fetched is broken off."""
    known = _known(services, call)
    if not services.cache.cancel_prefetch(known.prefetch_id, call.identity.name):
        raise Wrong(409, f"prefetch {known.prefetch_id} is over: it is {known.status}")
    return show_prefetch(services, call)


def _known(services: Services, call: Call) -> Prefetch:
    number = call.path["id"]
    is_number = number.isascii() and number.isdigit() and len(number) < 19
    found = services.cache.find_prefetch(int(number)) if is_number else None
    if found is None:
        raise Wrong(404, f"there is no prefetch {number}")
    return found


_AMOUNT: Final = record(
    {"instances": whole("How many."), "record_bytes": whole("What their records take."),
     "studies": whole("Of how many studies.")}
)  # fmt: skip
_KEYS: Final = {
    "keys": many(
        record(
            {
                "key": text("The beginning of its id."),
                "state": text("What it is for.", enum=["primary", "old"]),
                "made": maybe(text("When.")),
                "exported": maybe(text("Since when an escrow copy has it.")),
            }
        )
    ),
    "rekeying": maybe(record({}, open_ended=True)),
}
_LET_GO: Final = record(
    {
        "instances": whole("How many go, or went."),
        "record_bytes": whole("What their records take."),
        "studies": whole("Of how many studies."),
        "needed": whole("How many stay, because something needs them."),
        "freed_bytes": whole("Free on the disk at once."),
        "shredded": whole("How many open nowhere any more."),
        "log_emptied": flag("Nothing of them is left in the ledger's log."),
        "dry_run": flag("Nothing was changed."),
    }
)
_DRY: Final = {"dry_run": flag("Only say what would go.")}
_EVICT: Final = record(
    {
        "study": text("Study Instance UID."),
        "station": text("What came from it."),
        "older_than_seconds": whole("What came before."),
        "to_bytes": whole("The oldest, until the journal has so many; alone."),
        **_DRY,
    },
    optional=("study", "station", "older_than_seconds", "to_bytes", "dry_run"),
)
_SHRED: Final = record({"study": text("Study Instance UID."), **_DRY}, optional=("dry_run",))
_PREFETCH: Final = record(
    {
        "items": {
            **many(
                record(
                    {
                        "station": text("Which one."),
                        "study": text("Study Instance UID."),
                        "series": text("Only this series."),
                        "instance": text("Only this instance of the series."),
                    },
                    optional=("series", "instance"),
                )
            ),
            "description": "In the order they are wanted.",
        },
        "batch": whole(f"So many side by side; {BATCH}."),
        "cap": whole(f"So many at most; {CAP}."),
    },
    optional=("batch", "cap"),
)
_ONE: Final = record({"prefetch": whole("Its number."), "status": text("How it is.")},
                     open_ended=True)  # fmt: skip
ENDPOINTS: Final = (
    Endpoint(
        "GET", "/cache", "read", "What is held, what of it may go, and its keys.", show,
        record({"journal_bytes": whole("All segments."), "max_bytes": maybe(whole("The bound.")),
                "keep_seconds": maybe({"type": "number", "description": "The bound."}),
                "kept": _AMOUNT, "owed": _AMOUNT, **_KEYS}),
    ),
    Endpoint("POST", "/cache/evict", "operate", "Let go of what nothing needs.", evict, _LET_GO,
             body=Body("What.", schema=_EVICT), acts=True),
    Endpoint("POST", "/cache/shred", "configure", "Make a study unreadable for good.", shred,
             _LET_GO, body=Body("Which.", schema=_SHRED), acts=True),
    Endpoint(
        "POST", "/cache/verify", "operate", "Read a study's records, name what does not open.",
        verify_study,
        record({"records": whole("How many were read."), "data_set_bytes": whole("Of what size."),
                "damaged": whole("How many do not open."),
                "records_that_do_not_open": many(record({}, open_ended=True))}),
        body=Body("Which.", schema=record({"study": text("Study Instance UID.")})),
    ),
    Endpoint("POST", "/cache/prefetches", "operate", "Have studies here before they are asked for.",
             prefetch, _ONE, body=Body("What, in which order.", schema=_PREFETCH), acts=True),
    Endpoint("GET", "/cache/prefetches", "read", "The last prefetches.", list_prefetches,
             record({"prefetches": many(_ONE)})),
    Endpoint("GET", "/cache/prefetches/{id}", "read", "One prefetch, item by item.", show_prefetch,
             _ONE),
    Endpoint("POST", "/cache/prefetches/{id}/cancel", "operate", "Fetch nothing more of it.",
             cancel_prefetch, _ONE, acts=True),
    Endpoint("GET", "/keys", "read", "The keys by name, never themselves.", show_keys,
             record(_KEYS)),
    Endpoint("POST", "/keys/rotate", "configure", "A new primary key; the rest is wrapped anew.",
             rotate, record(_KEYS), acts=True),
)  # fmt: skip

"""A DICOMweb station against a strict pretend cloud: each way to fail, and what becomes of each
instance (F18, features 41 and 93)."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import trustme

from router.clock import Clock
from router.demo.cloud import Cloud
from router.demo.cloud_faults import Fault
from router.errors import MorphFailed, RouterError, StoreDown
from router.model.delivery import Result
from router.model.station import Auth, Basic, Bearer, Limits, OAuth, Secret, Station, TlsProfile
from router.peers.dicomweb import DicomwebPeer
from router.peers.kinds.dicomweb import PLUGS
from tests.support.parcels import (
    SECRETS,
    outcomes,
    parcel,
    parcels,
    peer_context,
    read_secret,
    results,
)
from tests.support.synthetic import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    NATIVE,
    instance,
)

D, R, B, H, X = Result.DELIVERED, Result.RETRY, Result.BUSY, Result.HOLD, Result.DEAD
U, Q = Result.UNREACHABLE, Result.QUARANTINED
IMAGES = [instance(number, study=1, rows=8, columns=8) for number in range(1, 7)]


def station(cloud: Cloud, **changes: Any) -> Station:
    made = Station(
        "cloud",
        "dicomweb",
        url=cloud.url,
        profile="azure",
        allow_insecure_http=True,
        tls="small",
        auth=OAuth(cloud.token_url, "edge-a", client_secret=Secret("file", "cloud-secret")),
        send=True,
    )
    return replace(made, **changes)


@pytest.fixture(scope="module", name="profiles")
def one_small_authority(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TlsProfile]:
    """One authority in place of the system's hundreds, which would be loaded for each test."""
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return {"small": TlsProfile("small", None, None, path)}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud(client_secret=SECRETS["cloud-secret"]) as running:
        yield running


@pytest.fixture
def make(cloud: Cloud, profiles: dict[str, TlsProfile]) -> Iterator[Callable[..., DicomwebPeer]]:
    made: list[DicomwebPeer] = []

    def peer(clock: Clock | None = None, **changes: Any) -> DicomwebPeer:
        read = changes.pop("read", read_secret)
        made.append(
            DicomwebPeer(station(cloud, **changes), peer_context(clock, read=read, tls=profiles))
        )
        return made[-1]

    yield peer
    for one in made:
        one.close()


def uids(cloud: Cloud) -> set[str]:
    return {stored.sop_instance_uid for stored in cloud.stored()}


def test_f93_a_batch_arrives_whole_and_byte_for_byte(
    cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    assert results(make(), parcels(IMAGES)) == [D] * 6
    assert cloud.count("stow") == 1
    stored = {one.sop_instance_uid: one.data_set_digest for one in cloud.stored()}
    for image in IMAGES:
        assert stored[image.sop_instance_uid] == hashlib.sha256(image.data_set).hexdigest()


def test_f93_sending_again_is_a_duplicate_and_delivered(
    cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    peer = make()
    assert results(peer, parcels(IMAGES)) == [D] * 6
    assert results(peer, parcels(IMAGES)) == [D] * 6
    assert (cloud.count("stored"), cloud.count("duplicate")) == (6, 6)


@pytest.mark.parametrize("syntax", [*NATIVE, JPEG_2000_LOSSLESS])
def test_f93_what_the_standard_forbids_is_sent_as_explicit_vr_little_endian(
    syntax: str, cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    image = instance(1, rows=8, columns=8, transfer_syntax_uid=syntax)
    assert results(make(), [parcel(image)]) == [D]
    kept = syntax == JPEG_2000_LOSSLESS
    assert cloud.stored()[0].transfer_syntax_uid == (syntax if kept else EXPLICIT_VR_LITTLE_ENDIAN)


def test_batches_keep_the_limits_of_station_and_profile(
    cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    assert results(make(limits=Limits(batch_instances=4)), parcels(IMAGES)) == [D] * 6
    assert cloud.count("stow") == 2
    size = len(IMAGES[0].part10())
    more = [instance(number, rows=8, columns=8) for number in range(20, 26)]
    assert results(make(limits=Limits(batch_bytes=size * 5 // 2)), parcels(more)) == [D] * 6
    assert cloud.count("stow") == 5


def test_the_same_uid_twice_never_travels_in_one_request(
    cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    twice = [parcel(IMAGES[0], 1), parcel(IMAGES[0], 2)]
    assert results(make(), twice) == [D, D]
    assert cloud.count("stow") == 2


def test_what_failed_twice_goes_alone(cloud: Cloud, make: Callable[..., DicomwebPeer]) -> None:
    sent = [parcel(image, n, attempts=2 * (n == 2)) for n, image in enumerate(IMAGES[:4], 1)]
    assert results(make(), sent) == [D] * 4
    assert cloud.count("stow") == 3


def _body(*items: dict[str, Any], tag: str = "00081199") -> bytes:
    return json.dumps({tag: {"vr": "SQ", "Value": list(items)}}).encode()


def _named(number: int, reason: int | None = None) -> dict[str, Any]:
    found = {"00081155": {"vr": "UI", "Value": [IMAGES[number].sop_instance_uid]}}
    if reason is not None:
        found["00081197"] = {"vr": "US", "Value": [reason]}
    return found


@dataclass(frozen=True)
class Case:
    """Faults of the requests to come, the results of three instances, the requests made."""

    name: str
    faults: Sequence[Fault]
    results: Sequence[Result]
    requests: int
    always: Fault | None = None


NO = Fault(keep=0, silent=True)


def _refusing(status: int, **more: Any) -> Fault:
    return Fault(status=status, keep=0, body=b"no", content_type="text/plain", **more)


CASES = [
    Case("all warned", [Fault(warn=45063)], [D] * 3, 1),
    Case("two kept, the third silent", [Fault(keep=2, silent=True)], [D] * 3, 2),
    Case("none kept, an empty answer", [NO], [R] * 3, 1),
    Case("one failed for good", [Fault(keep=2, fail=43264)], [D, D, X], 1),
    Case("one of the wrong study", [Fault(keep=2, fail=43265)], [D, D, X], 1),
    Case("one failed for now", [Fault(keep=2, fail=272)], [D, D, R], 1),
    Case("one pending elsewhere", [Fault(keep=2, fail=45071)], [D, D, R], 1),
    Case("one is there already", [Fault(keep=2, fail=45070)], [D, D, D], 1),
    Case("no room for one", [Fault(keep=2, fail=0xA700)], [D, D, B], 1),
    Case("one failed without reason", [Fault(keep=2)], [D, D, R], 1),
    Case("one failed unnamed", [Fault(keep=2, fail=43264, unnamed=True)], [D, D, X], 1),
    Case("two failed unnamed", [Fault(keep=1, fail=43264, unnamed=True)], [D, X, X], 1),
    Case("all failed", [Fault(keep=0, fail=43264)], [X] * 3, 1),
    Case("all unnamed", [Fault(keep=0, fail=272, unnamed=True)], [R] * 3, 1),
    Case("400 for ever", [], [R] * 3, 5, _refusing(400)),
    Case("400 once", [_refusing(400)], [D] * 3, 3),
    Case("401 once", [Fault(revoke=True)], [D] * 3, 2),
    Case("403", [_refusing(403)], [H] * 3, 1),
    Case("404", [_refusing(404)], [H] * 3, 1),
    Case("406 for ever", [], [X] * 3, 5, _refusing(406)),
    Case("408", [_refusing(408)], [R] * 3, 1),
    Case("409 without a body", [], [R] * 3, 5, _refusing(409)),
    Case("411", [_refusing(411)], [H] * 3, 1),
    Case("413 of the batch", [_refusing(413)], [D] * 3, 3),
    Case("413 for ever", [], [X] * 3, 5, _refusing(413)),
    Case("415 for ever", [], [X] * 3, 5, _refusing(415)),
    Case("417", [], [X] * 3, 5, _refusing(417)),
    Case("424 after storing some", [Fault(status=424, keep=1, body=b"key")], [B] * 3, 1),
    Case("429 with seconds", [_refusing(429, headers=(("Retry-After", "7"),))], [B] * 3, 1),
    Case("500", [_refusing(500)], [R] * 3, 1),
    Case("502", [_refusing(502)], [R] * 3, 1),
    Case("503", [_refusing(503)], [B] * 3, 1),
    Case("503 with seconds", [_refusing(503, headers=(("Retry-After", "7"),))], [B] * 3, 1),
    Case("503 before the body was read", [Fault(status=503, early=True)], [B] * 3, 1),
    Case("504", [_refusing(504)], [R] * 3, 1),
    Case("507", [_refusing(507)], [B] * 3, 1),
    Case("lost after storing all", [Fault(drop=True)], [R] * 3, 1),
    Case("lost after storing none", [Fault(drop=True, keep=0)], [R] * 3, 1),
    Case("success in HTML", [Fault(body=b"<html>ok</html>", content_type="text/html")], [R] * 3, 1),
    Case("success in XML", [Fault(body=b"<NativeDicomModel/>")], [R] * 3, 1),
    Case("truncated JSON", [Fault(body=_body(_named(0), _named(1))[:-20])], [R] * 3, 1),
    Case("an unknown status", [_refusing(599)], [R] * 3, 1),
    Case("redirected", [_refusing(302, headers=(("Location", "/v2/studies"),))], [H] * 3, 1),
    Case("204", [Fault(status=204, keep=0, body=b"")], [R] * 3, 1),
    Case("200 names one only", [Fault(body=_body(_named(0)))], [D] * 3, 3),
    Case("200 names strangers", [Fault(body=_body({"00081155": {"Value": ["9"]}}))], [D] * 3, 4),
    Case(
        "500 with a data set",
        [Fault(status=500, body=_body(_named(0, 272), _named(1, 272), _named(2, 43264),
                                      tag="00081198"))],
        [R, R, X],
        1,
    ),
    Case(
        "400 with a data set",
        [Fault(status=400, body=_body(_named(0), _named(1), _named(2)))],
        [D] * 3,
        1,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_F18_each_script_ends_in_the_truth_about_each_instance(
    case: Case, cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    cloud.stow_script.add(*case.faults)
    if case.always is not None:
        cloud.stow_script.always(case.always)
    sent = parcels(IMAGES[:3])
    found = outcomes(make(), sent)
    assert [outcome.result for outcome in found] == list(case.results)
    assert cloud.count("stow") == case.requests
    for outcome, one in zip(found, sent, strict=True):
        if outcome.result is D and not any(fault.fail == 45070 for fault in case.faults):
            named_only = any(fault.body for fault in case.faults)
            assert one.leased.sop_instance_uid in uids(cloud) or named_only
    if case.results == [R] * 3 or B in case.results:
        cloud.stow_script.always(Fault())
        assert results(make(), sent) == [D] * 3
        assert uids(cloud) == {one.leased.sop_instance_uid for one in sent}


def test_F18_there_are_forty_scripts_at_least() -> None:
    assert len(CASES) >= 40


def test_F18_one_poisonous_instance_is_found_by_halving(
    cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    poison = IMAGES[3]
    seen = cloud.take

    def take(parts: Any, fault: Fault) -> Any:
        found = list(parts)
        if any(p.instance.sop_instance_uid == poison.sop_instance_uid for p in found):
            return 413, {}
        return seen(iter(found), fault)

    cloud.take = take  # type: ignore[method-assign]
    assert results(make(), parcels(IMAGES)) == [D, D, D, X, D, D]
    assert cloud.count("stow") <= 7


def test_F18_retry_after_reaches_the_outcome_and_is_capped(
    cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    headers = [("Retry-After", "7"), ("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT")]
    for header, seconds in zip(headers, (7.0, 3600.0), strict=True):
        cloud.stow_script.add(_refusing(503, headers=(header,)))
        found = outcomes(make(), parcels(IMAGES[:2]))
        assert {outcome.retry_after_seconds for outcome in found} == {seconds}


def test_F18_a_word_about_the_station_leaves_the_rest_untried(
    cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    cloud.stow_script.always(_refusing(503))
    found = outcomes(make(limits=Limits(batch_instances=2)), parcels(IMAGES))
    assert {outcome.result for outcome in found} == {B}
    assert cloud.count("stow") == 1
    assert found[-1].message.startswith("not sent: HTTP 503")


def test_f41_401_brings_one_fresh_token_and_then_a_hold_not_a_loss(
    cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    cloud.is_authorised = lambda header: False  # type: ignore[method-assign]
    assert results(make(), parcels(IMAGES[:2])) == [H, H]
    assert cloud.count("unauthorised") == 2
    assert cloud.count("token") == 2


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        (Fault(status=401), H),
        (Fault(status=400), H),
        (Fault(status=429), B),
        (Fault(status=500), U),
        (Fault(drop=True), U),
    ],
)
def test_F19_without_a_token_instances_wait_and_none_is_dead(
    fault: Fault, result: Result, cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    cloud.token_script.always(fault)
    assert results(make(), parcels(IMAGES[:3])) == [result] * 3
    assert cloud.count("stow") == 0
    assert not make().probe().ok


def test_F19_a_token_that_expires_amid_the_batches_is_replaced(
    cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    cloud.stow_script.add(Fault(), Fault(revoke=True))
    assert results(make(limits=Limits(batch_instances=2)), parcels(IMAGES)) == [D] * 6
    assert cloud.count("token") == 2


def test_F19_all_peers_of_a_station_share_one_token(
    cloud: Cloud, profiles: dict[str, TlsProfile]
) -> None:
    context = peer_context(tls=profiles)
    peers = [DicomwebPeer(station(cloud), context) for _ in range(8)]
    groups = [parcels([instance(100 + n, rows=8, columns=8)]) for n in range(8)]
    threads = [
        threading.Thread(target=lambda one=one, group=group: list(one.send(group)))
        for one, group in zip(peers, groups, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for peer in peers:
        peer.close()
    assert len(cloud.stored()) == 8
    assert cloud.count("token") == 1


@pytest.mark.parametrize(
    ("fails", "result"), [(MorphFailed("no"), Q), (StoreDown("disk"), R)], ids=["morph", "store"]
)
def test_F26_a_parcel_that_cannot_be_opened_is_its_own_problem(
    fails: RouterError, result: Result, cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    sent = parcels(IMAGES[:3])
    sent[1] = parcel(IMAGES[1], 2, fails=fails)
    assert results(make(), sent) == [D, result, D]


def test_F26_a_parcel_that_breaks_amid_its_bytes_is_named_and_the_others_arrive(
    cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    sent = parcels(IMAGES[:3])
    sent[1] = parcel(IMAGES[1], 2, breaks=MorphFailed("damaged"))
    assert results(make(), sent) == [D, Q, D]
    assert uids(cloud) == {IMAGES[0].sop_instance_uid, IMAGES[2].sop_instance_uid}


def test_an_instance_larger_than_the_server_takes_is_dead_without_a_request(
    cloud: Cloud, make: Callable[..., DicomwebPeer], monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = make()
    monkeypatch.setattr(peer, "_profile", replace(peer._profile, max_request_bytes=1000))
    found = outcomes(peer, parcels(IMAGES[:1]))
    assert found[0].result is X
    assert "1000 bytes" in found[0].message
    assert cloud.count("stow") == 0


def test_F20_a_cloud_that_is_down_is_unreachable_and_comes_back(
    cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    gone = Cloud()
    gone.close()
    peer = make(url=gone.url)
    assert results(peer, parcels(IMAGES[:3])) == [U] * 3
    assert not peer.probe().ok
    assert results(make(), parcels(IMAGES[:3])) == [D] * 3


def test_f45_the_probe_is_a_token_and_a_search(
    cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    peer = make()
    for expected in ("HTTP 204", "HTTP 200"):
        probe = peer.probe()
        assert probe.ok
        assert probe.message.startswith(expected)
        assert 0 < probe.seconds < 5
        results(peer, parcels(IMAGES[:1]))
    assert (cloud.count("token"), cloud.count("search")) == (1, 2)
    refused = make(auth=None).probe()
    assert not refused.ok
    assert refused.message.startswith("HTTP 401")


@pytest.mark.parametrize(
    "auth",
    [
        None,
        Bearer(Secret("file", "cloud-secret")),
        Basic("edge", Secret("file", "cloud-secret")),
    ],
)
def test_the_other_ways_to_be_authorised(
    auth: Auth | None, cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    seen: list[str] = []
    cloud.is_authorised = lambda header: seen.append(header) is None  # type: ignore[method-assign,func-returns-value]
    assert results(make(auth=auth), parcels(IMAGES[:1])) == [D]
    expected = {
        type(None): "",
        Bearer: "Bearer canary-s3cret-value",
        Basic: "Basic ZWRnZTpjYW5hcnktczNjcmV0LXZhbHVl",
    }
    assert seen == [expected[type(auth)]]


def test_p13_no_secret_token_or_value_is_in_any_text(
    cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    texts: list[str] = []
    tokens: set[str] = set()
    give = cloud.new_token

    def remember() -> tuple[str, float]:
        token, seconds = give()
        tokens.add(token)
        return token, seconds

    cloud.new_token = remember  # type: ignore[method-assign]
    echo = b"client_secret=canary-s3cret-value PatientName 'DOE^CANARY' Bearer "
    for fault in [*(case.faults[0] for case in CASES if case.faults)]:
        cloud.stow_script.add(fault)
        texts += [repr(one) for one in outcomes(make(), parcels(IMAGES[:3]))]
    for status in (400, 401, 403, 404, 413, 429, 500, 503):
        cloud.stow_script.always(
            Fault(status=status, body=echo + b"".join(t.encode() for t in tokens), keep=0)
        )
        texts += [repr(one) for one in outcomes(make(), parcels(IMAGES[:1]))]
        cloud.token_script.always(Fault(status=status, body=echo))
        texts += [repr(one) for one in outcomes(make(), parcels(IMAGES[:1]))]
        texts.append(repr(make().probe()))
        cloud.token_script.always(Fault())
    assert tokens
    for text in texts:
        assert "canary" not in text.lower()
        assert not any(token in text for token in tokens)


def test_a_secret_that_cannot_be_read_holds_the_station(
    cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    def read(secret: Secret) -> str:
        raise FileNotFoundError(secret.name)

    found = outcomes(make(read=read), parcels(IMAGES[:2]))
    assert [outcome.result for outcome in found] == [H, H]
    assert "file: cloud-secret" in found[0].message


@pytest.mark.parametrize("changes", [{"tls": "nowhere"}, {"allow_insecure_http": False}])
def test_f40_what_is_wrongly_configured_holds_the_station(
    changes: dict[str, Any], cloud: Cloud, make: Callable[..., DicomwebPeer]
) -> None:
    assert results(make(**changes), parcels(IMAGES[:2])) == [H, H]
    assert cloud.count("stow") == 0


def test_the_description_of_the_kind_is_complete() -> None:
    (kind,) = PLUGS
    assert kind.name == "dicomweb"
    assert set(kind.schema["properties"]["profile"]["enum"]) >= {"azure", "generic"}
    assert all("description" in one or "const" in one for one in kind.schema["properties"].values())

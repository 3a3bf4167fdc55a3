"""Series of several processes read as one, in the exposition format."""

from __future__ import annotations

import os
import threading
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from router.telemetry.metrics import (
    Gauges,
    Metrics,
    absorb,
    counted,
    merged,
    publish,
    published_ages,
)


def samples(text):
    """(name, labels) → value of every sample."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(text, name, **labels):
    return samples(text)[f"dicom_router_{name}", tuple(sorted(labels.items()))]


@pytest.fixture
def roles(tmp_path):
    receive, deliver = Metrics(), Metrics()
    receive.instances_received.add("ct-1", "CT", "routed", amount=3)
    receive.received_bytes.add("ct-1", amount=1000)
    deliver.send_attempts.add("pacs", "delivered")
    deliver.instances_received.add("ct-1", "CT", "routed", amount=2)
    deliver.send_seconds.labels("pacs").observe(0.02)
    publish(tmp_path, "receive", receive)
    publish(tmp_path, "deliver", deliver)
    return tmp_path, receive, deliver


def test_equal_series_of_processes_are_added_up_and_others_stand_beside(roles):
    folder, _, _ = roles
    text = merged(folder)
    assert (
        value(text, "instances_received_total", station="ct-1", sop_class="CT", outcome="routed")
        == 5
    )
    assert value(text, "received_bytes_total", station="ct-1") == 1000
    assert value(text, "send_attempts_total", station="pacs", result="delivered") == 1
    assert value(text, "send_seconds_count", station="pacs") == 1
    assert value(text, "send_seconds_bucket", station="pacs", le="0.025") == 1
    assert value(text, "send_seconds_bucket", station="pacs", le="0.01") == 0


def test_histograms_of_processes_are_added_bucket_by_bucket(roles):
    folder, receive, _ = roles
    receive.send_seconds.labels("pacs").observe(40)
    publish(folder, "receive", receive)
    text = merged(folder)
    assert value(text, "send_seconds_count", station="pacs") == 2
    assert value(text, "send_seconds_sum", station="pacs") == pytest.approx(40.02)
    assert value(text, "send_seconds_bucket", station="pacs", le="30.0") == 1
    assert value(text, "send_seconds_bucket", station="pacs", le="+Inf") == 2


def test_of_points_in_time_the_latest_counts(roles):
    folder, receive, deliver = roles
    receive.heartbeat_last_success.labels("pacs").set(1_700_000_000)
    deliver.heartbeat_last_success.labels("pacs").set(1_700_000_050)
    publish(folder, "receive", receive)
    publish(folder, "deliver", deliver)
    found = value(merged(folder), "heartbeat_last_success_timestamp_seconds", station="pacs")
    assert found == 1_700_000_050


def test_whoever_adds_up_while_processes_retire_misses_none_and_counts_none_twice(roles):
    folder, receive, _ = roles
    ends = [f"receive@{number}" for number in range(40)]
    for name in ends:
        publish(folder, name, receive)
    retiring = threading.Thread(target=lambda: [absorb(folder, name) for name in ends])
    retiring.start()
    seen = set()
    while retiring.is_alive():
        seen.add(sum(counted(folder)["dicom_router_received_bytes_total"].values()))
    assert seen == {1000.0 * (1 + len(ends))}


def test_publishing_again_replaces_and_leaves_no_other_file(roles):
    folder, receive, _ = roles
    receive.instances_received.add("ct-1", "CT", "routed")
    publish(folder, "receive", receive)
    assert (
        value(
            merged(folder),
            "instances_received_total",
            station="ct-1",
            sop_class="CT",
            outcome="routed",
        )
        == 6
    )
    assert sorted(os.listdir(folder)) == ["deliver.prom", "receive.prom"]


def test_own_gauges_stand_beside_and_names_of_stations_are_escaped(roles):
    folder, _, _ = roles
    hostile = 'pacs"} 99\nevil 1 #\\'
    own = [
        Gauges("station_up", "1 online.", ("station",), (((hostile,), 1.0), (("pacs",), 0.0))),
        Gauges("ledger_imbalance", "Must be 0.", (), (((), 0.0),)),
    ]
    text = merged(folder, own)
    assert value(text, "station_up", station=hostile) == 1
    assert value(text, "station_up", station="pacs") == 0
    assert value(text, "ledger_imbalance") == 0
    assert not [name for name, _ in samples(text) if name == "evil"]


def test_hostile_labels_survive_the_way_through_a_file(tmp_path):
    metrics = Metrics()
    hostile = 'a"b\\c\nd'
    metrics.rule_matches.add(hostile)
    publish(tmp_path, "receive", metrics)
    assert value(merged(tmp_path), "rule_matches_total", rule=hostile) == 1


def test_nothing_published_is_an_empty_page(tmp_path):
    assert merged(tmp_path) == b""
    assert published_ages(tmp_path) == {}


def test_a_role_that_stopped_publishing_grows_old(roles):
    folder, _, _ = roles
    old = time.time() - 30
    os.utime(folder / "deliver.prom", (old, old))
    ages = published_ages(folder)
    assert ages["receive"] < 5
    assert 29 < ages["deliver"] < 40
    ahead = time.time() + 3600
    os.utime(folder / "deliver.prom", (ahead, ahead))
    assert published_ages(folder)["deliver"] == 0, "a clock that was set back"


def test_every_series_has_help_and_counts_from_its_first_event():
    metrics = Metrics()
    for line in metrics.text().decode().splitlines():
        if line.startswith("# HELP"):
            assert len(line.split(maxsplit=3)) == 4, line
    for _ in range(3):
        metrics.send_attempts.add("pacs", "retry")
    assert value(metrics.text(), "send_attempts_total", station="pacs", result="retry") == 3

"""`cache host`: the name viewers look for is made of the link id and the organization."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from router.serve.device import host_name
from tests.support.commands import dicom_router

SITE = "version: 1\nrouter: {{name: edge, ae_title: EDGE_A, data_dir: {data}{more}}}\n"


@pytest.mark.parametrize(
    ("organization", "expected"),
    [
        ("St. José & Filhos", "OMEGAAILINK-42-St--Jos----Filhos.omegaailink.com"),
        ("A", "OMEGAAILINK-42-A.omegaailink.com"),
        ("a_b-c", "OMEGAAILINK-42-a-b-c.omegaailink.com"),
    ],
)
def test_f78_every_other_character_becomes_a_hyphen(organization: str, expected: str) -> None:
    assert host_name(42, organization, "omegaailink.com") == expected


def test_f78_a_label_that_dns_cannot_have_is_refused() -> None:
    with pytest.raises(ValueError, match="63"):
        host_name(42, "x" * 60, "example.com")


def test_f79_the_hosts_line_is_printed_and_what_is_missing_is_said(tmp_path: Path) -> None:
    config = tmp_path / "router.yaml"
    config.write_text(SITE.format(data=tmp_path / "data", more=", id: 7, organization: Hospital A"))
    words = ("cache", "host", "--config", str(tmp_path))
    code, output, _ = dicom_router(*words, "--domain", "example.org", "--address", "10.0.0.5")
    assert code == 0
    name = "OMEGAAILINK-7-Hospital-A.example.org"
    assert output.splitlines() == [name, f"10.0.0.5 {name}"]
    code, output, _ = dicom_router(*words, "--format", "json")
    assert json.loads(output)["host"] == "OMEGAAILINK-7-Hospital-A.omegaailink.com"
    config.write_text(SITE.format(data=tmp_path / "data", more=""))
    code, _, errors = dicom_router(*words)
    assert (code, "router.id" in errors) == (1, True)

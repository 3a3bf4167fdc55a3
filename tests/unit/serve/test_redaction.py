"""What is taken out of a support bundle: patients, UIDs, secrets, literals; and what stays."""

from __future__ import annotations

import io
import json
import os
import tarfile

import pytest

from router.serve.bundle import lines_of_file, lines_of_service, write_bundle
from router.serve.redaction import Redaction, identifies, without_literals

UID = "1.2.826.0.1.3680043.10.1234.56789"
NAMES = ("YAMADA^TARO=山田^太郎", "MRN-0042/B", "1234567", "O'NEIL^ÉVA", "A 123", "LI^WU")
MASKS = Redaction(NAMES, ("s3cr3t", "s3cr3t-long"))


@pytest.mark.parametrize(
    "text",
    [
        "0xC000: YAMADA^TARO is known twice",
        "no such patient: yamada",
        "山田",
        "id=MRN-0042/B.",
        "(mrn-0042/b)",
        "patient 1234567 refused",
        "O'NEIL",
        "ÉVA",
        "éva",
        "Wu, Li",
        f"instance {UID} refused",
        f"{UID}",
        "https://user:hunter2@host.example/x",
        "Bearer abc.def.ghi",
        "drt_12_abcdefABCDEF-_x",
        "the secret is s3cr3t-long, or s3cr3t",
    ],
)
def test_p13_patients_uids_and_secrets_are_masked(text):
    shown = MASKS.text(text)
    for word in (
        "yamada", "taro", "山田", "mrn-0042", "1234567", "neil", "éva", "wu", "li", UID, "hunter2", "abc.def",
        "abcdef", "s3cr3t",
    ):  # fmt: skip
        assert word not in shown.casefold(), shown


@pytest.mark.parametrize(
    "text",
    [
        "1.2.840.10008.5.1.4.1.1.2 is CT Image Storage",
        "station pacs at 10.1.1.21:11112 does not answer: connection refused",
        "version 0.1.0, schema 27, 12 instances, 123 of A",
        "2026-11-22T04:58:11Z",
    ],
)
def test_what_helps_stays(text):
    assert MASKS.text(text) == text


def test_a_uid_is_the_same_word_in_one_bundle_and_another_in_the_next():
    one, again, other = MASKS.text(UID), MASKS.text(f"x {UID}"), Redaction((), ()).text(UID)
    assert again == f"x {one}"
    assert one != other
    assert one.startswith("uid-")


def test_p13_fields_are_masked_by_their_names_in_any_depth():
    told = MASKS.value(
        {
            "patient_name": "Nobody^Known",
            "rows": [{"token": "x", "count": 3, "up": True, "none": None}],
            "problems": "a.yaml:3:4: error DR210: 'SMITH^JO' is no keyword\n  | PatientName: SMITH^JO\n",
            f"study {UID}": 1,
        }
    )
    text = json.dumps(told)
    assert not [word for word in ("Nobody", "SMITH", UID) if word in text]
    assert told["rows"] == [{"token": "…", "count": 3, "up": True, "none": None}]
    assert told["problems"] == ["a.yaml:3:4: error DR210"]


def test_p13_where_patients_cannot_be_known_peers_say_nothing():
    fields = {
        "reason": "0xC000: ANON^KNOWN",
        "answer": "",
        "event": "delivery failed",
        "status": 49152,
    }
    told = Redaction((), (), knows_patients=False).value(fields)
    assert told == {"reason": "…", "answer": "", "event": "delivery failed", "status": 49152}
    assert MASKS.value(fields)["reason"] == fields["reason"]


def test_p13_literals_of_attributes_that_identify_are_left_out_of_the_configuration():
    rules = [
        {
            "name": "one",
            "match": {
                "from": "ct-1",
                "Modality": ["CT"],
                "not": {"PatientID": {"glob": "TEST*"}},
                "0009,[ACME],01": "private",
                "RequestAttributesSequence[*].AccessionNumber": "A1",
            },
            "morph": [
                {"set": {"InstitutionName": "Hospital A", "BodyPartExamined": "CHEST"}},
                {"replace": {"tag": "PatientID", "pattern": "^X", "with": "Y"}},
                {"replace": {"tag": "Modality", "pattern": "^X", "with": "Y"}},
            ],
            "route": [{"to": "pacs", "when": "study"}],
        }
    ]
    (told,) = without_literals(rules)
    match = told["match"]
    assert match["not"] == {"PatientID": {"glob": "…"}}
    assert match["0009,[ACME],01"] == match["RequestAttributesSequence[*].AccessionNumber"] == "…"
    assert (match["from"], match["Modality"]) == ("ct-1", ["CT"])
    assert told["morph"][0]["set"] == {"InstitutionName": "…", "BodyPartExamined": "CHEST"}
    assert told["morph"][1]["replace"] == {"tag": "PatientID", "pattern": "…", "with": "…"}
    assert told["morph"][2]["replace"]["pattern"] == "^X"
    assert (told["name"], told["route"]) == ("one", [{"to": "pacs", "when": "study"}])
    assert not identifies("name")
    assert identifies("PatientName")


def test_the_archive_is_for_its_owner_and_never_written_over(tmp_path):
    path = tmp_path / "help.tar.gz"
    before = os.umask(0)
    try:
        write_bundle(path, {"a.json": b"{}", "log.jsonl": b"x\n"})
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
        assert archive.getnames() == ["help/a.json", "help/log.jsonl"]
        assert {one.mode for one in archive} == {0o600}
    with pytest.raises(FileExistsError):
        write_bundle(path, {})


def test_the_last_lines_of_a_log_are_taken(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"".join(b"%d\n" % number for number in range(5000)) + b"\xff\n")
    lines = lines_of_file(log)
    assert (len(lines), lines[0], lines[-1]) == (2000, "3001", "\ufffd")


def test_where_there_is_no_journal_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="journalctl"):
        lines_of_service("dicom-router")
    (tmp_path / "journalctl").write_text("#!/bin/sh\necho 'No journal files' >&2; exit 1\n")
    (tmp_path / "journalctl").chmod(0o755)
    with pytest.raises(ValueError, match="No journal files; name the file with --log FILE"):
        lines_of_service("dicom-router")

"""Key Object Selection documents that name other objects, as an evidence creator writes them."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.synthetic import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    UID_ROOT,
    Elements,
    Encoder,
    Synthetic,
)

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
QUALITY, SAFETY, WORKLIST, RETENTION = "113001", "113037", "113038", "113039"


def code(value: str, meaning: str, scheme: str = "DCM") -> Elements:
    """One item of a code sequence."""
    return {0x00080100: ("SH", value), 0x00080102: ("SH", scheme), 0x00080104: ("LO", meaning)}


def key_object(
    title: str,
    named: Sequence[Synthetic],
    *,
    seed: int = 1,
    scheme: str = "DCM",
    changes: Elements | None = None,
    transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN,
) -> Synthetic:
    """A note about these objects, in a series of its own in the study of the first."""
    study = named[0].study_instance_uid
    by_series: dict[tuple[str, str], list[Elements]] = {}
    content: list[Elements] = []
    for one in named:
        reference: Elements = {
            0x00081150: ("UI", one.sop_class_uid),
            0x00081155: ("UI", one.sop_instance_uid),
        }
        key = (one.study_instance_uid, one.series_instance_uid)
        by_series.setdefault(key, []).append(reference)
        content.append(
            {
                0x0040A010: ("CS", "CONTAINS"),
                0x0040A040: ("CS", "IMAGE"),
                0x00081199: ("SQ", [reference]),
            }
        )
    evidence: list[Elements] = [
        {
            0x0020000D: ("UI", of_study),
            0x00081115: ("SQ", [{0x0020000E: ("UI", series), 0x00081199: ("SQ", references)}]),
        }
        for (of_study, series), references in by_series.items()
    ]
    header: dict[int, tuple[str, object]] = {
        0x00080016: ("UI", KEY_OBJECT_SELECTION),
        0x00080018: ("UI", f"{UID_ROOT}.7.{seed}"),
        0x00080020: ("DA", "20260701"),
        0x00080023: ("DA", "20260701"),
        0x00080030: ("TM", "101500"),
        0x00080033: ("TM", "101500"),
        0x00080050: ("SH", "A0000001"),
        0x00080060: ("CS", "KO"),
        0x00080070: ("LO", "ACME"),
        0x00080090: ("PN", ""),
        0x00081111: ("SQ", []),
        0x00100010: ("PN", "Moreau^Test"),
        0x00100020: ("LO", "P000001"),
        0x00100030: ("DA", ""),
        0x00100040: ("CS", ""),
        0x0020000D: ("UI", study),
        0x0020000E: ("UI", f"{UID_ROOT}.8.{seed}"),
        0x00200010: ("SH", "1"),
        0x00200011: ("IS", "900"),
        0x00200013: ("IS", "1"),
        0x0040A040: ("CS", "CONTAINER"),
        0x0040A043: ("SQ", [code(title, "title", scheme)]),
        0x0040A050: ("CS", "SEPARATE"),
        0x0040A375: ("SQ", evidence),
        0x0040A730: ("SQ", content),
    }
    header.update(changes or {})
    return Synthetic(
        Encoder(transfer_syntax_uid).elements(header),  # type: ignore[arg-type]
        transfer_syntax_uid,
        KEY_OBJECT_SELECTION,
        str(header[0x00080018][1]),
        study,
        str(header[0x0020000E][1]),
    )

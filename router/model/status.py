"""DIMSE status codes this product speaks and their classes (PS3.7 annex C, PS3.4 B.2.3)."""

from __future__ import annotations

from typing import Final

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_INSTANCE: Final = 0x0112
NO_SUCH_EVENT_TYPE: Final = 0x0113
INVALID_ARGUMENT: Final = 0x0115
CLASS_INSTANCE_CONFLICT: Final = 0x0119
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
NO_SUCH_ACTION: Final = 0x0123
NOT_AUTHORISED: Final = 0x0124
DUPLICATE_TRANSACTION: Final = 0x0131
DUPLICATE_INVOCATION: Final = 0x0210
UNRECOGNISED_OPERATION: Final = 0x0211
MISTYPED_ARGUMENT: Final = 0x0212
RESOURCE_LIMITATION: Final = 0x0213
OUT_OF_RESOURCES: Final = 0xA700
UNABLE_TO_CALCULATE: Final = 0xA701
UNABLE_TO_PERFORM: Final = 0xA702
MOVE_DESTINATION_UNKNOWN: Final = 0xA801
DATA_SET_MISMATCH: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
REFUSED_BY_RULE: Final = 0xC001
SUB_OPERATIONS_FAILED: Final = 0xB000
LIMIT_REACHED: Final = 0xB001
CANCELLED: Final = 0xFE00
PENDING: Final = 0xFF00
PENDING_WITH_UNSUPPORTED_KEYS: Final = 0xFF01


def describe(status: int) -> str:
    """A few words for people: `0xA700 out of resources`."""
    return f"0x{status:04X} {_words(status)}"


def _words(status: int) -> str:
    exact = {
        0x0000: "success",
        0x0105: "no such attribute",
        0x0106: "invalid attribute value",
        0x0107: "attribute list error",
        0x0110: "processing failure",
        0x0111: "duplicate SOP instance",
        0x0112: "no such SOP instance",
        0x0113: "no such event type",
        0x0114: "no such argument",
        0x0115: "invalid argument value",
        0x0116: "attribute value out of range",
        0x0117: "invalid SOP instance",
        0x0118: "no such SOP class",
        0x0119: "class and instance conflict",
        0x0120: "missing attribute",
        0x0121: "missing attribute value",
        0x0122: "SOP class not supported",
        0x0123: "no such action",
        0x0124: "not authorised",
        0x0131: "duplicate transaction UID",
        0x0210: "duplicate invocation",
        0x0211: "unrecognised operation",
        0x0212: "mistyped argument",
        0x0213: "resource limitation",
        0xB000: "coercion of data elements",
        0xB006: "elements discarded",
        0xB007: "data set does not match SOP class",
        0xFE00: "cancelled",
    }.get(status)
    if exact is not None:
        return exact
    family = {0xA7: "out of resources", 0xA8: "move destination unknown", 0xA9: "data set mismatch"}
    if status >> 8 in family:
        return family[status >> 8]
    return {0xA: "failure", 0xB: "warning", 0xC: "cannot understand"}.get(status >> 12, "unknown")

"""Meaning of `transfer_syntax`, of a route and of a station: what objects leave in.

DR220 for what is not written here, DR329 where the station gets something else anyway. Where the
codecs are not installed DR404 if every image needs them, DR330 if only compressed ones do.
"""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from typing import Any, Final

from router.config.context import Context
from router.config.nodes import Node, PathPart, node_at
from router.dicom.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    layout_of,
)
from router.dicom.uid_names import uid_for
from router.pixels.syntaxes import CODED, EXTRA, obstacle

KEY: Final = "transfer_syntax"
_UNCOMPRESSED: Final = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
)
_WRITTEN: Final = frozenset({*_UNCOMPRESSED, *(one.uid for one in CODED if one.encoder)})
NAMES: Final = (
    "ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, "
    "JPEGLSLossless, JPEG2000Lossless; with loss JPEGLSNearLossless and JPEG2000"
)


def declared(
    node: Node, data: AnyMapping[str, Any], kind: str, path: tuple[PathPart, ...], context: Context
) -> str:
    """The UID of what is written at `transfer_syntax`; '' where there is none, or none that is sound.

    `kind` is that of the station which gets it.
    """
    written = data.get(KEY)
    if written is None:
        return ""
    place, path = node_at(node, (KEY,)) or node, (*path, KEY)
    uid = written if written in _WRITTEN else uid_for(written, "Transfer Syntax")
    if uid not in _WRITTEN:
        message = f"'{written}' is no transfer syntax this router can write"
        context.error("DR220", message, place, path, NAMES)
        return ""
    if kind == "dicomweb" and uid in _UNCOMPRESSED[1:]:
        message = "a DICOMweb server gets uncompressed objects in Explicit VR Little Endian"
        context.warn("DR329", message, place, path, "transfer_syntax: ExplicitVRLittleEndian")
    is_compressed = layout_of(uid).encapsulated
    some = uid if is_compressed else CODED[-1].uid
    if obstacle(some, EXPLICIT_VR_LITTLE_ENDIAN) == EXTRA:
        if is_compressed:
            context.error("DR404", f"'{written}' needs codecs", place, path, EXTRA)
        else:
            message = "compressed objects cannot be decoded for it"
            context.warn("DR330", message, place, path, EXTRA)
    return uid

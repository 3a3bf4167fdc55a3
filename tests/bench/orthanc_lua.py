"""Orthanc's routing script and the settings that make it fast.

Modifying over REST keeps the UIDs (`Keep` with `Force`), stores no second copy and hands the bytes
on directly; Orthanc's own job chain (`SendToModality(ModifyInstance(…))`) was a fifth as fast.
STOW sends only what is stored, so there the changed copy is stored first, and one of 64 jobs sends
it: waiting for each STOW in the script was thirty times slower.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.bench.sink import MARKER

SETTINGS: Mapping[str, object] = {
    "StoreMD5ForAttachments": False,
    "SyncStorageArea": False,
    "MaximumPduLength": 131072,
    "SaveJobs": False,
    "ConcurrentJobs": 64,
    "JobsHistorySize": 5000,
    "DicomAssociationCloseDelay": 30,
    "HttpThreadsCount": 8,
    "OverwriteInstances": True,
    "LuaHeartBeatPeriod": 0,
}

_CHANGE = """\
function changed(instanceId)
  local request = {
    Replace = {InstitutionName = "%s", StationName = "BENCH", AccessionNumber = "B-1"},
    Keep = {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"},
    Force = true
  }
  return RestApiPost("/instances/" .. instanceId .. "/modify", DumpJson(request, true))
end
"""

_STORE = """\
function OnStoredInstance(instanceId, tags, metadata, origin)
  if origin["RequestOrigin"] == "DicomProtocol" then
    RestApiPost("/modalities/sink/store-straight", changed(instanceId))
  end
end
"""

_STOW = """\
function OnStoredInstance(instanceId, tags, metadata, origin)
  if origin["RequestOrigin"] == "DicomProtocol" then
    local stored = ParseJson(RestApiPost("/instances", changed(instanceId)))
    local request = {Resources = {stored["ID"]}, Synchronous = false}
    RestApiPost("/dicom-web/servers/sink/stow", DumpJson(request, true))
  end
end
"""


def orthanc_script(*, stow: bool) -> str:
    """The Lua script: set three tags, deliver by STOW-RS or by C-STORE."""
    return _CHANGE % MARKER + (_STOW if stow else _STORE)

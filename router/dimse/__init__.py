"""The DICOM upper layer (PS3.8) and the DIMSE services C-ECHO and C-STORE (PS3.7), both roles.

`server` accepts associations and hands each data set to a handler as a stream; `client` opens them
and sends. Nothing here knows of rules, stations or storage: it is given handlers.
"""

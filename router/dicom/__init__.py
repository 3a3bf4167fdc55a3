"""Bytes of data sets, without knowledge of the network, the store or the rules.

A data set is read as it arrives (header), edited (dataset), written again with its untouched bytes
(splice), converted between uncompressed transfer syntaxes (transcode) and wrapped for a file
(part10). Pixel bytes are never decoded. pydicom's dictionaries and character set tables are used
here and nowhere else.
"""

"""The DICOMweb server (PS3.18): STOW-RS, QIDO-RS, WADO-RS and a change feed of what is held here."""

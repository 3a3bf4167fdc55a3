"""dicom-router: a DICOM router that is described, not programmed.

The way of one instance, and the modules it passes:

    a modality ─▶ dimse.listener      accept, bound
                  dimse.association   negotiate, command, fragments; one thread, straight down
                  flow.intake         bytes → record; the passing header → facts
                  flow.route          facts × plan → deliveries; a pure function
                  store.journal       the record is durable: only now the modality hears 0x0000
                  store.ledger        the journal's index: who is owed what
                  flow.dispatch       whose turn it is
                  flow.deliver        open, morph, splice, send, settle
    a station  ◀─ peers.*             DIMSE, DICOMweb, a folder

Receiving and sending meet only in the journal and the ledger. Imports go downwards only; the
floors are in docs/ARCHITECTURE.md and a machine checks them.
"""

__version__ = "0.1.0"

"""The journal of sealed records, and the ledger that is its index.

`records.py` and `ledger.py` say what the rest of the product may rely on; `journal.py` and
`sqlite_ledger.py` keep it. Everything here is opened after a fork, never across one; only the
data lock is inherited.
"""

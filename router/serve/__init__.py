"""The one place that knows everything: builds every part from a plan, wires, starts, stops.

`supervisor` binds the sockets and forks one process per role; `receive`, `deliver` and `web` are
what those processes run. They meet only in the journal and the ledger.
"""

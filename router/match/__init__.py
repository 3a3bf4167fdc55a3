"""Match: what a rule asks of an instance, compiled to one predicate.

`condition.compile_condition` turns the mapping under `match:` into a Condition; `facts.Facts` is
what it is asked about. Each operator is one file that exports PLUGS.
"""

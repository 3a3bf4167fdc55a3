"""Analysis: what a plan that loads does not do, or does twice, or does to the wrong station.

    formula ─▶ solver ─▶ findings ─▶ example ─▶ Problem (DR3xx)
    what must hold  is there one  what it means  the engine agrees

A finding that claims something happens carries a data set and a sender for which `flow.route.decide`
says so; one the engine does not confirm is not reported. A finding that claims something never
happens is only made where the solver is complete; where it is not, the answer is "unknown" and
nothing is said. Work is bounded by counts, never by a clock, so a configuration has one answer.
`advise.advise` is the way in.
"""

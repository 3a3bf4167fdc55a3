"""Figures of the router beside those of its peers, measured in one run on one machine.

`make bench ARGS=--quick` reports in minutes; `--full --write docs/PERFORMANCE.md` also gates.
`sets` are what is sent, by `sender`; `contestants` receive or route it; `sink` and `stow_sink` are
destinations that are never the limit; `usage` reads the cost from /proc; `rounds` interleaves;
`figures`, `bars` and `report` say what came out.
"""

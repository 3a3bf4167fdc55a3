"""The tests: unit, property, fuzz, integration (real peers), crash, bench, and the shape of the house."""

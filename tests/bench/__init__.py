"""Figures of the router beside those of its peers, measured in one run on one machine."""

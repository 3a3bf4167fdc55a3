"""The regression guard: what the hot functions cost, counted and not timed."""

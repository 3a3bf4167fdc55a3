"""The first minute: a real router, pretend neighbours, synthetic studies, in a temporary folder."""

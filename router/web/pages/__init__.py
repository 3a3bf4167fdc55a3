"""Pages for people: rendered here, readable without scripts; every action is a call of the API."""

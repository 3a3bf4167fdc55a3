"""The nouns, frozen, without I/O.

Station (a remote, as configured), Listener (where we accept), Rule, Morph (a step of a Recipe),
Plan (the compiled configuration), Instance (one SOP instance we hold), Delivery (one instance owed
to one station), Task (what was asked for), Source (who sent it). Import them from their modules.
"""

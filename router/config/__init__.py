"""Configuration: a folder of YAML text in, a frozen plan or a list of problems out.

    text ─▶ tree ─▶ schema ─▶ compile* ─▶ lint ─▶ Plan
    marks   merge   shape     meaning     advice

Nothing here opens a socket or changes a file, except `last_good`, which keeps a copy of the texts of
the last plan that ran. Nothing here imports the plugs: they are handed in as `plugged.Plugs`.
`load.load` is the way in; `problems.render` is the way a problem looks everywhere.
"""

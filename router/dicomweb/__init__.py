"""The HTTP side of the standard (PS3.18), as a user: STOW-RS, OAuth 2.0 and its answers."""

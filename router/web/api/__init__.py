"""The API under `/api/v1`: one description per endpoint gives route, checks and OpenAPI."""

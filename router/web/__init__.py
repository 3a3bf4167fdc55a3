"""What a browser or a scraper asks of the router, over HTTP. Starlette and uvicorn end here."""

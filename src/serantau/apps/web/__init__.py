"""HTTP: the server, the JSON API and the pages."""

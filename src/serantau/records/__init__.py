"""SQL rows: objects, parties, peers and the release log."""

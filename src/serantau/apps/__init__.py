"""The doors by which people and machines come in."""

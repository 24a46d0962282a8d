"""Formats of reports, as data: how bytes become rows of events."""

"""Serantau: the node that a national CERT runs to work with its neighbours."""

__version__ = "0.1.0"

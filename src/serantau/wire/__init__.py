"""Protocols and formats as others speak them."""

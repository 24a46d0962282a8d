"""The columnar lane: Polars frames in, a Delta table out."""

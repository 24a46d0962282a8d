"""A region on one machine: five real nodes that share data, and a proof of it."""

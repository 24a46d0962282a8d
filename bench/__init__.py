"""What a node is measured by: speed and size, as ratios to limits of the same run."""

from serantau.apps.web.memory import count_no_memory

# What a server asks of SQLite is asked wherever the database itself is measured.
count_no_memory()

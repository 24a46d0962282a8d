"""What is true and what is allowed: pure functions, no I/O, no clock, no chance."""

"""What a node is measured by: speed and size, as ratios to limits of the same run."""

"""The whole of Regent on one machine, from Python packages alone."""

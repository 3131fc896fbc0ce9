SPILL = "spill"
"""Where an engine spills to, in the directory that a piece of work writes to: it is made before the work, which makes files alone."""

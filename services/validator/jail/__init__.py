"""What runs behind the wall: the engine, the job, and the broker's side of it."""

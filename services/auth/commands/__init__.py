"""What auth does, each inside the door's transaction."""

"""What the runner does when asked: each works inside a transaction that its door opened, and never commits."""

"""What people do to their own accounts, mostly by links that come by mail. Passwords are hashed between transactions."""

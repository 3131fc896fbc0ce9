"""A package for pytest: what its tests share is stopped after the last of them, not at the end of all tests."""

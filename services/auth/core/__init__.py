"""The authorization server: Authlib's core decides what a request is worth, our commands keep what comes of it.

The core checks parameters, grants and their order, and words the answers. Its hooks call our commands, on our transaction.
Where it would decide otherwise than OAuth 2.1, RFC 9700 or we do, a method here says so beside its reason.
"""

"""Mail: an outbox in the database, templates, and the worker that sends."""

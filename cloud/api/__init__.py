"""The HTTP API under /api: JSON answers, RFC 9457 problems, one event stream."""

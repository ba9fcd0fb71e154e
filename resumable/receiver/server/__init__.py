"""The HTTP server around a receiver."""

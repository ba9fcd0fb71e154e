"""Servers of others, as they are published, behind the client."""

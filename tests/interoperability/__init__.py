"""Clients of others, as they are published, in front of the receiver."""

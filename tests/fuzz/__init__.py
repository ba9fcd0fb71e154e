"""Requests that nobody thought of: a corpus of them, what they must not do, and two ways to find more."""

"""The state machines, driven as an engine would drive them, without threads, files or sockets."""

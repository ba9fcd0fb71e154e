"""The state machines, driven as the dispatcher drives them, without threads, files or sockets."""

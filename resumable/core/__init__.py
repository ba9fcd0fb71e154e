"""Pure state machines: no clock, no thread, no file, no socket, no signal. Whoever calls holds the lock."""

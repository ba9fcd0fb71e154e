"""Pure state machines: no clock, no thread, no file, no socket, no signal. The caller holds the lock."""

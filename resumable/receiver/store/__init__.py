"""The storage of the receiver."""

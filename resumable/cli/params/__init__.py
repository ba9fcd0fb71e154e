"""What the commands are given: flags, their types, credentials and sources."""

"""What touches the network and the disk."""

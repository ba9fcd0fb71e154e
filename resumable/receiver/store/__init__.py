"""Where the receiver keeps uploads."""

"""What goes wrong on the way, and what becomes of it: a faulty network, an odd server, a killed client, bad input."""

"""The HTTP side: how requests are sent, stopped, limited and read."""

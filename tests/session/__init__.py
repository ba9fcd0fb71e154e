"""Sessions, files, handlers, plugins and delivery, over real sockets."""

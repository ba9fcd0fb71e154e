"""Where bytes come from: paths, open files, streams, bytes and directories."""

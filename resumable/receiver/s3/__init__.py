"""The storage of the receiver on an S3-compatible object store."""

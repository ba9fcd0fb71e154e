"""The client compared with recordings of the real resumable.js, request by request and event by event."""

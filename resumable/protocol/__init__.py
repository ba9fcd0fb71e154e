"""The resumable.js wire protocol as pure functions. Client and receiver meet only here."""

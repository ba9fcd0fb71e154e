"""The receiver in front of a real browser: Debian's Chromium, headless, with the libraries that it was made for."""

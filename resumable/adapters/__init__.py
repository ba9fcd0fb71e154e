"""Ready-made glue between sessions and other packages: a module each, which imports that package.

What shows progress is called with a file (``on_progress=``), and is a plugin of sessions (``plugins=[…]``).
"""

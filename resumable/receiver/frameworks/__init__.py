"""The receiver inside other people's applications: one module for each framework, which only its users import."""

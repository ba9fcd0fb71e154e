"""Threads live here and nowhere else."""

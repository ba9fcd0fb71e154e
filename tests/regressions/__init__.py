"""Situations in which users were told something untrue, each with what has to come of it."""

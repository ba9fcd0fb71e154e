"""Everything about this distribution stands in setup.cfg."""

from setuptools import setup

setup()

"""Servers, clients and programs that the tests share; README.rst beside this file says which is for what."""

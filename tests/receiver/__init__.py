"""Tests of the receiver, each over the narrowest real thing that can show the claim."""

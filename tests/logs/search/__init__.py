"""Tests of `scalekit.logs.search`."""

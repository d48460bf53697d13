"""Tests of `scalekit.ops`."""

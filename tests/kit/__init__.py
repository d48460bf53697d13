"""Tests of `scalekit.kit`."""

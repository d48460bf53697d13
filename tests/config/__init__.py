"""Tests of `scalekit.config`."""

"""Tests of `scalekit.logs.page`."""

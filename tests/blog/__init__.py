"""Tests of `scalekit.blog`."""

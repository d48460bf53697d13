"""Tests of `scalekit.logs.sinks`."""

"""Tests of `scalekit.logs.otlp`."""

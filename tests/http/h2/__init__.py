"""Tests of `scalekit.http.h2`."""

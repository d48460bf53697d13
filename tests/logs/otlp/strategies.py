"""Records and entries for properties."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from scalekit.logs.entry import LEVELS, Entry
from scalekit.logs.otlp.records import INT64, Record, Scope

texts = st.text(st.characters(codec="utf-8"), max_size=12)
names = st.sampled_from(["a", "b", "trace_id", "span_id", "logger", "request_id", "event_name", "é"])
scalars = st.one_of(
    texts,
    st.booleans(),
    st.integers(INT64[0], INT64[-1]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)
attributes = st.dictionaries(names, values, max_size=4)
ids = st.binary(max_size=16).map(lambda raw: raw.hex() if any(raw) else "")

records = st.builds(
    Record,
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, 24),
    st.sampled_from(["", "INFO", "Notice", "warning", "odd"]),
    values,
    attributes,
    ids,
    ids,
    st.integers(0, 255),
    texts,
    st.integers(0, 3),
    attributes | texts.map(lambda name: {"service.name": name}),
    st.builds(Scope, texts, texts, attributes),
)

fields = st.one_of(
    st.none(),
    st.dictionaries(
        names,
        values | st.just("0af7651916cd43dd8448eb211c80319c") | st.just("b7ad6b7169203331"),
        min_size=1,
        max_size=4,
    ).map(lambda said: msgspec.json.encode(said).decode()),
)
entries = st.builds(Entry, st.integers(1, INT64[-1]), st.sampled_from(LEVELS), texts.filter(bool), texts, fields)

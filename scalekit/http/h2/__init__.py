"""
HTTP/2 without sockets and clocks: frames to heads and body pieces, and back (RFC 9113).

`session` and `client_session`, the two ends, are all that knows libnghttp2 (through ``ngh2``): one object a connection,
bytes in, calls to its `owner` out, and bytes to send.  `requests` and `responses` turn field lists into the heads of
`scalekit.http.heads` and back, with the rules that keep a translation to HTTP/1.1 from being used for smuggling;
towards app servers `outgoing` and `answers` do.  `limits` says what a connection may take; `budget` counts what costs
work and brings nothing; `watch` reads along for what libnghttp2 lets pass.  `scalekit.net.h2_server` and
`scalekit.net.h2_upstream` put them on connections.

Start with `session`.
"""

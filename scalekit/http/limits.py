"""
The sizes at which we stop reading, each with its precedent.

The time limits live with the deadlines (`scalekit.net.deadlines.Timeouts`).
"""

from __future__ import annotations

KIB = 1024

#: The longest registered method has 17 (RFC 9110 section 16.1.1); bytes that go on without a space are no request.
METHOD_BYTES = 64
#: nginx takes 8 KiB lines, HAProxy 16 KiB for the whole head; URLs over 8 KiB occur with OAuth and reports.
REQUEST_LINE_BYTES = 16 * KIB
#: nginx: 4 x 8 KiB; Apache: 8 KiB a field.  Holds a full cookie jar (4 KiB a cookie) and a Kerberos ticket.
HEAD_BYTES = 32 * KIB
#: Apache 100, HAProxy 101; each costs a tuple and a pass of Python.
FIELD_COUNT = 128
#: Extensions are not used by anybody; many of them on tiny chunks were an attack on Go (CVE-2023-39326).
CHUNK_EXTENSION_BYTES = 4 * KIB
#: What is left of a request's body after its answer is read up to here to keep the connection; beyond, it closes.
DRAINED_BODY_BYTES = 64 * KIB

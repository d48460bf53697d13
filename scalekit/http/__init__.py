"""
HTTP as values: bytes in, heads and bodies out, and back.  No Twisted, no socket, no clock.

Start with `heads` (what an exchange is made of), then `requests` and `bodies` (reading), then `serializer` (writing).

* `grammar`: RFC 9110/9112 as regular expressions; `limits`: where reading stops; `diagnosis`: why a head is refused.
* `requests`, `responses`: one head each way; `reader`: a connection's bytes, message after message; `targets`: hosts and paths.
* `forwarding`: the head a proxy sends on: hop-by-hop fields dropped, forged ones replaced, ours added.
* `negotiation`, `coding`, `conditional`: what a client accepts, what may be compressed, entity tags under coding.
* `problems`: faults as answers (RFC 9457).
"""

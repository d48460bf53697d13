"""
HTTP as values: bytes in, heads and bodies out, and back.  No Twisted, no socket, no clock.

Start with `heads` (what an exchange is made of), then `requests` and `bodies` (reading), then `serializer` (writing).

* `grammar`: RFC 9110/9112 as regular expressions; `limits`: where reading stops; `diagnosis`: why a head is refused;
  `spellings`: what names of fields mean.
* `requests`, `responses`: one head each way; `reader`: a connection's messages, one by one; `targets`: hosts and paths.
* `forwarding`: the head a proxy sends on, without hop-by-hop and forged fields; `origin`: what it tells of the client.
* `upgrade`: the handshake of WebSocket; `websocket`: its frames; `farewell`: how somebody in the middle ends it.
* `negotiation`, `coding`, `conditional`: what a client accepts, what may be compressed, entity tags under coding.
* `cookies`, `ranges`: one cookie of a request, and the one range that it asks for.
* `problems`: faults as answers (RFC 9457); `proxy_status`: what they tell programs of why (RFC 9209).
* `h2`: the same for HTTP/2.
"""

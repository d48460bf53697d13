"""
The page on ``GET /`` of the log: search, levels, a histogram, and the log as it comes.

* `resource`: what answers for it, and its policy; ``page.html``, ``page.js``, ``page.css``: what it gives out.

All that the page shows of entries it asks ``/v1/query``, ``/v1/histogram`` and ``/v1/tail`` for, and sets as text.
"""

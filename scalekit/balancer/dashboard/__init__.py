"""
The dashboard on the registration port: ``GET /`` for browsers, ``/v1/overview`` for programs.

* `rates`: requests a second and percentiles, of counters that the data path has anyway.
* `overview`: what is shown, as plain data.
* `page`: that as HTML; whatever apps have said about themselves is text there.
* `resource`: the routes.

The page is whole without JavaScript.  ``live.js`` asks for it again when ``/v1/events`` tells of a change, and each two
seconds for the numbers, and brings drain and weight.  No other host is asked for anything.
"""

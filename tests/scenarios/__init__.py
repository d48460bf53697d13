"""
The whole system as its user meets it: real daemons, sockets, files, signals, and a browser.

From basic to complex: test_starts.py (each daemon starts, refuses and ends), test_demo.py (``scalekit-all --demo``),
test_browser.py (the blog, and a page of another origin, in Chromium).  running.py starts and ends the processes,
webdriver.py drives the browser.
"""

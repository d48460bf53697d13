"""
The tests mirror the source: tests/cache/test_store.py is about scalekit/cache/store.py.

``make test`` runs them all, ``trial tests.cache`` one part.  tests/requirements.py finds the programs that some need;
test_imports.py, test_ambient.py and test_packaging.py are about the whole tree.

Set here for every test, however it is started:

* a warning is an error: trial reports one that a test did not flush as that test's error;
* Hypothesis tries the same examples each time and keeps no time: a red run can be repeated, a slow machine is no fault.
"""

import warnings

from hypothesis import settings

warnings.simplefilter("error")
# Of an unclosed file or socket we hear when the garbage collector gets to it, often within some other test: shown, not
# counted.
warnings.filterwarnings("default", category=ResourceWarning)
# Twisted's own, for each 404 of a plain Resource and on importing twisted.web.static.
warnings.filterwarnings("ignore", message=r"twisted\.web\.resource\._Unsafe")

settings.register_profile("scalekit", derandomize=True, deadline=None, database=None)
settings.load_profile("scalekit")

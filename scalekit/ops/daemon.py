"""
The scaffolding of a daemon under twistd.  A feature's ``tap.py`` looks like this::

    import os
    from twisted.internet import reactor
    from scalekit.ops.daemon import DaemonOptions, DrainingService, explained_faults

    class Options(DaemonOptions):
        daemon = "scalekit-cache"
        sections = ("cache",)
        environ = os.environ

    @explained_faults()
    def makeService(options):
        daemon = DrainingService(options, reactor)
        ListeningService(options.settings.cache.listen, ...).setServiceParent(daemon)
        daemon.on_drain(...)
        daemon.on_reload(...)
        return daemon

``makeService`` runs before the fork of a daemonised start: no thread, socket, child process or open database in it.
Services are stopped in the reverse of the order in which they were added, without waiting for each other.
"""

from scalekit.ops.draining import DrainingService
from scalekit.ops.options import DaemonOptions
from scalekit.ops.starting import explained_faults, fail_start

__all__ = ["DaemonOptions", "DrainingService", "explained_faults", "fail_start"]

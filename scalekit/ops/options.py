"""
The options of a daemon under twistd: a configuration file, flags that stand above it, and where pid and log go.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from twisted.internet.protocol import Factory
from twisted.python import usage

from scalekit.config import Config, load
from scalekit.config.decode import all_keys, override
from scalekit.config.kinds import ACCESS_LOG, PATH
from scalekit.config.tokens import check_private_listener
from scalekit.errors import ConfigurationFault
from scalekit.ops.starting import keep_terminal

# Linux lets no process have more descriptors than fs.nr_open, 1,048,576 unless changed.
MOST_DESCRIPTORS = 1 << 20

#: Listeners that act for whoever reaches them; None where the daemon has no token file.
PRIVATE = {"registration": "token_file", "cache": "token_file", "logs": "token_file", "data": None}


class DaemonOptions(usage.Options):
    """
    What every daemon takes.  A subclass says::

        class Options(DaemonOptions):
            daemon = "scalekit-cache"
            sections = ("cache",)
            environ = os.environ
            optParameters = [["max-bytes", None, None, "Size of the store, such as 256MiB."]]
            flag_keys = {"max-bytes": "cache.max_bytes"}

    :cvar daemon: its name under twistd, and of its pid and log file.
    :cvar sections: the tables of the configuration that it runs; ``--listen`` is about the first.
    :cvar shared: further tables and keys that it reads.
    :cvar environ: the process' environment, for the state directory.
    :cvar flag_keys: which key each further flag stands for; its value is read as the file's would be.
    :ivar settings: the `Config`, after `postOptions`.
    """

    daemon: ClassVar[str]
    sections: ClassVar[tuple[str, ...]]
    shared: ClassVar[tuple[str, ...]] = ("state_directory", "tls", "log_client")
    environ: ClassVar[Mapping[str, str]]
    flag_keys: ClassVar[Mapping[str, str]] = {}
    settings: Config

    optParameters = [
        ["config", "c", None, "The configuration, a TOML file; without it, the defaults.", os.path.abspath],
        ["state-directory", None, None, "Where certificates, logs and all that must survive are kept."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self._listen: list[str] = []

    def opt_listen(self, url: str) -> None:
        """Where to listen, such as https://[::]:2000 or unix:///run/x.sock; repeatable, instead of the configured."""
        self._listen.append(url)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as why:  # twistd would print the whole help and lose the error in it
            raise SystemExit(f"{self.daemon}: {why}; --help shows what there is") from None

    def postOptions(self) -> None:
        """
        Read the configuration, and tell twistd where pid and log belong.

        :raises SystemExit: with one line; the exit status is 1.
        """
        try:
            self.settings = self.read()
        except ConfigurationFault as fault:
            raise SystemExit(str(fault)) from None
        raise_descriptor_limit()
        Factory.noisy = False  # no "Starting factory" for each connection
        if self.parent is not None:
            self._prepare_twistd(self.parent)

    def read(self, state_directory: str | None = None) -> Config:
        """
        Read the configuration, the flags above it; ``settings`` stays as it was.

        :param state_directory: instead of whatever is said of it.
        :raises ConfigurationFault: it is wrong.
        """
        config = load(self["config"], state_directory or self["state-directory"], self.environ)
        if self._listen:
            config = override(config, f"{self.sections[0]}.listen", self._listen, "--listen")
        kinds = dict(all_keys())
        for flag, key in self.flag_keys.items():
            value = self[flag]
            if value is None or value == 0:  # a parameter, or a switch, that was not given
                continue
            if kinds[key] is PATH or (kinds[key] is ACCESS_LOG and value != "-"):
                value = os.path.abspath(value)  # typed in a shell: relative to where it stands
            config = override(config, key, kinds[key].from_flag(value), f"--{flag}")
        for section in self.sections:
            if section in PRIVATE:
                table, name = getattr(config, section), PRIVATE[section]
                check_private_listener(section, table.listen, getattr(table, name) if name else None)
        return config

    def pidfile(self) -> str:
        """The pid file that twistd writes; empty without one."""
        return str(self.parent["pidfile"]) if self.parent is not None else ""

    def tell_starter(self) -> None:
        """
        Tell the process that the command line waits for that this daemon in the background does not start.

        twistd does so for an Exception only; after SystemExit its parent would wait for ever, since it keeps the
        pipe's writing end open itself.  It prints what stands behind the number.
        """
        pipe = self.parent.get("statusPipe") if self.parent is not None else None
        if pipe is not None:
            os.write(pipe, b"1 as said above")
            os.close(pipe)

    def _prepare_twistd(self, twistd: Any) -> None:
        place = os.path.join(self.settings.state_directory, self._process_name())
        is_foreground = twistd["nodaemon"] or twistd["debug"]
        if twistd["pidfile"] == "twistd.pid":  # twistd's default: in the working directory, one for all
            # In the foreground nobody needs one, and a container whose only process always has the same pid would
            # refuse to start after a crash.
            twistd["pidfile"] = "" if is_foreground else f"{place}.pid"
        says_where = twistd["logfile"] or twistd["logger"] or twistd.get("syslog")
        if not is_foreground:
            keep_terminal()
            if not says_where:
                twistd["logfile"] = f"{place}.log"
        elif not says_where:
            twistd["logger"] = "scalekit.ops.console.stdout_observer"

    def _process_name(self) -> str:
        """Several of one kind may share a state directory (blogs on 3000, 3001, …): the flag tells them apart."""
        if not self._listen:
            return self.daemon
        first = getattr(self.settings, self.sections[0]).listen[0]
        return f"{self.daemon}-{first.port or os.path.basename(first.path) or 'any'}"


def raise_descriptor_limit() -> None:
    """
    Raise the soft limit of open files to the hard one.

    The soft limit is 1,024 on most systems, for the sake of programs that use select(); we use epoll.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

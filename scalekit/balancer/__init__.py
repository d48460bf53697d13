"""
The balancer: which requests go to which app server, and which app servers there are.

Control, what decides; pure, but for the private port, the event streams, the file, Redis, and the last line:

* ``roster``: who is a member of which service, and in which state; **open this first**, then ``instance`` (the states),
  ``judging`` (what leads from one to the other), ``standing`` (who of them takes requests); beneath it ``directory``,
  ``enrolment``, ``configured``, ``turnover``, ``leases``, ``generations``,
  ``departed`` and ``telling``;
* ``health``: when an instance is probed, and when it counts as up or down;
* ``routes``: host and path to the name of a service, as an immutable table;
* ``addresses``: which addresses may be registered at all;
* ``registrar``, ``members``, ``listing``: the private port: register as in the tutorial, or with a lease; look-up;
  ``registering`` is who may do so, ``consent`` whether who is registered wants it;
* ``events``, ``streams``: what has changed, kept and told as it happens; ``instance_metrics``: counted;
* ``snapshot``, ``keeping``: what of the roster survives a restart, and the file that it is in;
* ``registry``: the seam between who registers and what keeps it, the roster or ``shared``, which several balancers have
  in common; ``redis_records`` is what Redis holds of it, ``redis_link`` the connection, ``sharing`` puts them together;
* ``resolver``: makes the configured servers members; ``prober``: carries out the probes that are due, those of
  gRPC's servers as ``grpc_health`` says.

Data path, what reads the immutable view of it:

* ``picking``: which of the available instances gets this request;
* ``retrying``: whether what failed is sent again, and within which budget;
* ``waiting``: the line of those for whom no instance has room;
* ``sticky``: brings clients back to the instance that they have been at;
* ``traffic``: all of these for one service, ``policies``: as the configuration says; ``metrics``: their numbers;
* ``proxy``: takes each request in; ``forward``: it on its way, and its answer; ``attempts``: sends it there, on a
  connection of ``upstreams``; ``upload``: its body;
* ``caching``: what an HTTP cache in front of the proxy asks of the balancer;
* ``tunnels``: the WebSockets that have come of it, and how they end when their app server leaves;
* ``explain``, ``explaining``: where a request would go, and why; ``explained``: the same, with the answer of one;
* ``dashboard``: all of it for people;
* ``tap``: puts all of it together for twistd, ``control`` what decides; ``settings`` is the configuration in the words
  of each part, ``swapping`` brings another one into force; ``per_service``: what some services have of their own.
"""

// Keeps the page as it is now, and brings drain and weight. The server makes all HTML; nothing is put together here.
"use strict";
(() => {
  const POLL = 2000; // milliseconds; numbers change without an event
  const SOON = 150; // a deployment is many events at once
  const LATE = 10000; // an answer that takes longer is none
  const link = document.getElementById("link");
  const said = document.getElementById("said");
  let timer = 0;
  let isAsking = false;
  let isWanted = false;

  document.documentElement.classList.add("live");

  function tell(text) {
    said.textContent = text;
    said.hidden = !text;
  }

  function show(isLive) {
    link.textContent = isLive ? "live" : "not live: the balancer does not answer";
    link.classList.toggle("on", isLive);
  }

  // What somebody is typing, and where, stays.
  function put(fresh) {
    const active = document.activeElement;
    const typed = new Map();
    for (const input of document.querySelectorAll("#now input"))
      if (input === active || input.value !== input.defaultValue) typed.set(input.id, input.value);
    document.title = fresh.title;
    const scrolled = [...document.querySelectorAll("#now .wide")].map((each) => each.scrollLeft);
    document.getElementById("now").replaceWith(document.adoptNode(fresh.getElementById("now")));
    document.querySelectorAll("#now .wide").forEach((each, index) => { each.scrollLeft = scrolled[index] || 0; });
    for (const [id, value] of typed) {
      const input = document.getElementById(id);
      if (input) input.value = value;
    }
    if (active && active.id) document.getElementById(active.id)?.focus({ preventScroll: true });
  }

  async function refresh() {
    if (isAsking) {
      isWanted = true;
      return;
    }
    isAsking = true;
    clearTimeout(timer);
    try {
      const answer = await fetch("/", { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(LATE) });
      if (answer.status === 401) location.reload(); // the session is over: the form comes
      if (!answer.ok) throw new Error(String(answer.status));
      put(new DOMParser().parseFromString(await answer.text(), "text/html"));
      show(true);
    } catch {
      show(false);
    }
    isAsking = false;
    plan(isWanted ? SOON : POLL);
    isWanted = false;
  }

  function plan(milliseconds) {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(refresh, milliseconds);
  }

  async function change(place, method, body) {
    tell("");
    try {
      const headers = { Accept: "application/json", "Content-Type": "application/json" };
      const answer = await fetch(place, { method, headers, body, signal: AbortSignal.timeout(LATE) });
      if (!answer.ok) tell((await answer.json()).detail || String(answer.status));
    } catch {
      tell("The balancer did not answer; it may have done it or not.");
    }
    refresh();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-drain]");
    if (button && confirm(`Drain ${button.dataset.name}? It gets no new requests until ${button.dataset.until}.`))
      change(`${button.dataset.drain}/drain`, "POST");
    const back = event.target.closest?.("[data-back]");
    if (back) change(back.dataset.back, "PATCH", JSON.stringify({ state: "joining" }));
  });

  document.addEventListener("change", (event) => {
    const input = event.target.closest?.("[data-weight]");
    if (!input) return;
    if (!input.checkValidity()) {
      tell("A weight is a whole number from 1 to 256.");
      return;
    }
    const weight = Number(input.value);
    input.defaultValue = input.value;
    input.blur();
    change(input.dataset.weight, "PATCH", JSON.stringify({ weight }));
  });

  const events = new EventSource("/v1/events");
  const kinds = ["transition", "panic", "panic-over", "leases-doubted", "leases-trusted"];
  for (const kind of [...kinds, "registry-degraded", "registry-restored", "configuration", "missed"])
    events.addEventListener(kind, () => plan(SOON));
  document.addEventListener("visibilitychange", () => plan(0));
  refresh();
})();

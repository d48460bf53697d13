// Search and tail. What entries hold is set as text and nothing else: no HTML is made here.
"use strict";
(() => {
  const SHOWN = 1000; // rows; more are slow to lay out, and nobody scrolls through them
  const FIRST = 200; // rows of a search
  const LEVELS = ["DEBUG", "INFO", "WARN", "ERROR", "PANIC"];
  // What a terminal or the direction of reading goes by, as in log.txt; line ends and tabs are seen as such.
  const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
  const id = (name) => document.getElementById(name);
  const chips = [...document.querySelectorAll("#levels button")];
  let span = { from: "1h", to: "" };
  let stream = null;
  let seen = new Set(); // sequence numbers of the rows
  let waiting = []; // entries that are to be shown, the newest last
  let frame = 0;
  let turn = 0; // which search is the present one
  let missed = "";

  const safe = (text) => text.replace(UNSAFE, (one) => {
    const code = one.charCodeAt(0);
    return code < 256 ? "\\x" + code.toString(16).padStart(2, "0") : "\\u" + code.toString(16).padStart(4, "0");
  });

  function make(tag, kind, text) {
    const made = document.createElement(tag);
    if (kind) made.className = kind;
    if (text !== undefined) made.textContent = safe(text);
    return made;
  }

  function tell(text) {
    id("said").textContent = safe(text);
    id("said").hidden = !text;
  }

  const wanted = () => chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.textContent);

  function terms() {
    const off = LEVELS.filter((level) => !wanted().includes(level)).map((level) => "-level:" + level.toLowerCase());
    return [id("q").value.trim(), ...off].filter(Boolean).join(" ");
  }

  function place(isLive) {
    const said = new URLSearchParams();
    if (id("q").value.trim()) said.set("q", id("q").value.trim());
    if (span.from !== "1h") said.set("from", span.from);
    if (span.to) said.set("to", span.to);
    if (wanted().length < LEVELS.length) said.set("levels", wanted().join(","));
    if (isLive) said.set("live", "1");
    return "/" + (said.size ? "?" + said : "");
  }

  function begin() {
    const said = new URLSearchParams(location.search);
    id("q").value = said.get("q") || "";
    span = { from: said.has("from") ? said.get("from") : "1h", to: said.get("to") || "" };
    const levels = said.has("levels") ? said.get("levels").split(",") : LEVELS;
    for (const chip of chips) chip.setAttribute("aria-pressed", String(levels.includes(chip.textContent)));
    if (said.get("live")) follow();
    else search();
  }

  function row(entry) {
    const line = make("li", LEVELS.includes(entry.Level) ? entry.Level : "");
    line.id = "n" + entry.Sequence;
    const time = make("time");
    const link = make("a", "", entry.Timestamp.slice(0, 10) + " " + entry.Timestamp.slice(11, 23));
    link.title = entry.Timestamp;
    // The second around it, whatever is searched for now.
    const second = entry.Timestamp.slice(0, 19);
    const next = new Date(Date.parse(second + "Z") + 1000).toISOString();
    link.href = "/?" + new URLSearchParams({ from: second + "Z", to: next }) + "#" + line.id;
    time.append(link);
    const source = make("button", "source", entry.Source);
    source.type = "button";
    source.addEventListener("click", () => {
      id("q").value = (id("q").value + ' source="' + entry.Source.replace(/["\\]/g, "\\$&") + '"').trim();
      again();
    });
    const text = make("p", "", entry.Message);
    const said = entry.Said ? { said: entry.Said } : {}; // which was not believed
    for (const [name, value] of Object.entries({ ...entry.Fields, ...said }))
      text.append(" ", make("small", "", name + "=" + (typeof value === "string" ? value : JSON.stringify(value))));
    line.append(time, make("b", line.className, entry.Level), source, text);
    return line;
  }

  function count(text) {
    const rows = id("rows").childElementCount;
    id("count").textContent = text || (rows ? rows + " entries" : "Nothing is found.");
  }

  // One change of the page for all that has come since the last picture.
  function paint() {
    frame = 0;
    const fresh = waiting.filter((entry) => !seen.has(entry.Sequence));
    waiting = [];
    const rows = id("rows");
    const made = document.createDocumentFragment();
    for (const entry of fresh) {
      seen.add(entry.Sequence);
      made.prepend(row(entry));
    }
    rows.prepend(made);
    while (rows.childElementCount > SHOWN) {
      seen.delete(Number(rows.lastElementChild.id.slice(1)));
      rows.lastElementChild.remove();
    }
    count(missed + rows.childElementCount + " entries, live");
  }

  function add(entry) {
    waiting.push(entry);
    if (waiting.length > 2 * SHOWN) waiting = waiting.slice(-SHOWN); // nobody looks: there are no pictures
    if (!frame && stream && stream.isShown) frame = requestAnimationFrame(paint);
  }

  async function ask(path, given) {
    const answer = await fetch(path + "?" + new URLSearchParams({ q: terms(), ...span, ...given }));
    if (answer.status === 401) location.reload(); // the session is over: the form comes
    if (!answer.ok) throw new Error((await answer.json()).detail || String(answer.status));
    return answer;
  }

  function name() {
    const known = !span.to && [...id("from").options].some((option) => option.value === span.from);
    id("chosen").hidden = known;
    id("chosen").textContent = known ? "" : span.from.slice(0, 19).replace("T", " ") + " …";
    id("from").value = known ? span.from : "-";
  }

  async function search() {
    const mine = ++turn;
    name();
    id("permalink").href = place(Boolean(stream));
    try {
      const text = await (await ask("/v1/query", { limit: FIRST })).text();
      if (mine !== turn) return;
      const entries = text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
      const partial = entries.length && entries[entries.length - 1].Partial ? entries.pop() : null;
      seen = new Set(entries.map((entry) => entry.Sequence));
      id("rows").replaceChildren(...entries.map(row));
      tell("");
      if (!partial) count();
      else if (partial.Partial === "rows") count("The newest " + entries.length + "; there are more.");
      else if (partial.Partial === "damaged") count(entries.length + " entries; some of the log cannot be read.");
      else count(entries.length + " entries back to " + partial.Until + "; then the time of the search was over.");
      if (location.hash) location.replace(location.hash);
      draw(await (await ask("/v1/histogram", { buckets: 60 })).json(), mine);
    } catch (why) {
      if (mine === turn) tell(why.message);
    }
  }

  function draw(said, mine) {
    if (mine !== turn) return;
    const first = Date.parse(said.from.slice(0, 23) + "Z");
    const sums = said.counts.map((counts) => counts.reduce((one, other) => one + other, 0));
    const most = Math.max(1, ...sums);
    const moment = (number) => new Date(first + number * said.seconds * 1000).toISOString();
    const clock = (number) => moment(number).slice(0, 19).replace("T", " ");
    id("bars").replaceChildren(...said.counts.map((counts, number) => {
      const bar = make("button");
      bar.type = "button";
      bar.title = clock(number) + ": " + sums[number];
      bar.setAttribute("aria-label", bar.title);
      for (const [kind, part] of [["error", counts[3] + counts[4]], ["warn", counts[2]], ["", counts[0] + counts[1]]]) {
        if (!part) continue;
        const piece = make("i", kind);
        piece.style.height = Math.max(2, (100 * part) / most) + "%";
        bar.append(piece);
      }
      bar.addEventListener("click", () => {
        span = { from: moment(number), to: moment(number + 1) };
        again();
      });
      return bar;
    }));
    id("span").replaceChildren(make("span", "", clock(0)), make("span", "", clock(said.counts.length)));
  }

  // The stream first, then what is there already: so nothing is between them, and what is in both is shown once.
  function follow() {
    leave();
    span.to = "";
    missed = "";
    const mine = new EventSource("/v1/tail?" + new URLSearchParams({ q: terms() }));
    stream = mine;
    stream.isShown = false;
    id("live").setAttribute("aria-pressed", "true");
    mine.addEventListener("open", async () => {
      id("link").textContent = "live";
      id("link").classList.add("on");
      if (mine.isShown) return; // it has come back, and goes on where it was
      await search();
      mine.isShown = true;
      if (mine === stream && !frame) frame = requestAnimationFrame(paint);
    });
    mine.addEventListener("message", (event) => add(JSON.parse(event.data)));
    mine.addEventListener("gap", (event) => {
      const lost = JSON.parse(event.data).count;
      missed = (lost === null ? "some" : lost) + " were missed while this page was away; ";
    });
    mine.addEventListener("error", () => {
      id("link").textContent = "not live: the log does not answer";
      id("link").classList.remove("on");
      if (mine.readyState === EventSource.CLOSED) search(); // it was refused, and the search says why
    });
  }

  function leave() {
    if (stream) stream.close();
    stream = null;
    waiting = [];
    id("live").setAttribute("aria-pressed", "false");
    id("link").textContent = "not live";
    id("link").classList.remove("on");
  }

  function again() {
    const isLive = Boolean(stream) && !span.to;
    history.pushState(null, "", place(isLive));
    if (isLive) follow();
    else {
      leave();
      search();
    }
  }

  id("search").addEventListener("submit", (event) => {
    event.preventDefault();
    again();
  });
  id("from").addEventListener("change", () => {
    span = { from: id("from").value, to: "" };
    again();
  });
  for (const chip of chips)
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      again();
    });
  id("live").addEventListener("click", () => {
    if (stream) {
      leave();
      history.pushState(null, "", place(false));
    } else {
      follow();
      history.pushState(null, "", place(true));
    }
  });
  addEventListener("popstate", () => {
    leave();
    begin();
  });
  begin();
})();

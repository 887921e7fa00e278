// The page's connection to the shop: an event stream, or a WebSocket where a stream can't be had.
// What is silent is taken to be dead, whatever the browser says of it; and what doesn't begin to
// speak isn't waited for: another attempt is begun beside it, by the other way.
"use strict";

(() => {
  // All in milliseconds.
  const SILENCE = 10_000; // the shop's heart beats every 4 s (shop/streams.py): two beats and a half
  const CHECK_EVERY = 1000; // between two checks for silence
  const LEAST_TIMEOUT = 2500; // for an attempt that doesn't speak, before the next one
  const MOST_TIMEOUT = 10_000; // on a network on which the page itself came slowly
  const FIRST_DELAY = 300; // after a connection ended, doubled with each attempt that fails
  const LONGEST_DELAY = 2500;
  const SHORT = 10_000; // who spoke for less than that and ended twice was cut by something
  const SAY_SO_AFTER = 800; // a connection that is back sooner was hardly away

  const TIMES_CUT = 2;
  const TIMES_THE_PAGE = 4; // as long as the page took to begin to come

  const root = document.documentElement;
  const live = document.getElementById("live");
  const status = document.getElementById("live-status");

  // --- What the page says of it -------------------------------------------------------------

  let saying = 0;

  const setLive = (on, sayAfter = SAY_SO_AFTER) => {
    if (root.dataset.live === (on ? "on" : "off")) return;
    root.dataset.live = on ? "on" : "off";
    clearTimeout(saying);
    if (on) status.textContent = "";
    else saying = setTimeout(sayOff, sayAfter);
    live.dispatchEvent(new CustomEvent("shop:live", { detail: { on }, bubbles: true }));
  };

  const sayOff = () => {
    status.textContent = "Not live: reconnecting…";
  };

  // --- What comes is swapped in, one after another --------------------------------------------

  let swapping = Promise.resolve();

  const swap = (text) => {
    const swapped = { text, sourceElement: live, target: live, swap: "none", transition: false };
    swapping = swapping.then(() => htmx.swap(swapped)).catch((error) => console.error(error));
  };

  // --- Two ways ------------------------------------------------------------------------------
  // Each gives something that can be closed. A heartbeat is an empty text.

  const ways = {
    events({ hear, end, overflow }) {
      const source = new EventSource(live.dataset.stream);
      source.onmessage = ({ data }) => hear(data);
      source.addEventListener("beat", () => hear(""));
      source.addEventListener("overflow", overflow);
      source.onerror = end;
      return source;
    },
    socket({ hear, end }) {
      const address = new URL(live.dataset.socket, location.href);
      address.protocol = address.protocol.replace("http", "ws");
      const socket = new WebSocket(address);
      socket.onmessage = ({ data }) => hear(data);
      socket.onclose = end;
      return socket;
    },
  };

  const otherThan = (way) => (way === "events" ? "socket" : "events");

  // An event stream costs the shop less: a page takes a socket where streams are known to fail.
  const BLOCKED = "no-event-streams";
  let preferred = "events";
  try {
    if (sessionStorage.getItem(BLOCKED)) preferred = "socket";
  } catch {} // a browser may keep nothing

  const noteBlocked = (blocked) => {
    preferred = blocked ? "socket" : "events";
    try {
      if (blocked) sessionStorage.setItem(BLOCKED, "yes");
      else sessionStorage.removeItem(BLOCKED);
    } catch {}
  };

  // --- One connection, and attempts to get one --------------------------------------------------

  let connection = null; // the one that speaks
  let attempts = []; // those that have yet to, the newest last
  let streamsCame = false; // here, once: so they can
  let failures = 0; // attempts that ended, one after another
  let hung = 0; // those that didn't speak, likewise
  let timesCut = 0; // likewise, of event streams
  let retrying = 0;
  let leaving = false;

  const timeout = () => {
    const page = performance.getEntriesByType("navigation")[0];
    const came = page ? page.responseStart - page.fetchStart : 0;
    return Math.min(Math.max(LEAST_TIMEOUT, TIMES_THE_PAGE * came), MOST_TIMEOUT);
  };

  const begin = (way, isWanted = way === preferred) => {
    clearTimeout(retrying);
    attempts.filter(isGivenUp).forEach(drop);
    const attempt = { way, isWanted, begunAt: Date.now() };
    const ifCurrent = (handle) => (given) => attempt.dropped || handle(attempt, given);
    attempt.line = ways[way]({
      hear: ifCurrent(hear),
      end: ifCurrent(end),
      overflow: ifCurrent(overflow),
    });
    attempt.waiting = setTimeout(ifCurrent(tryOtherWay), jittered(timeout()));
    attempts.push(attempt);
  };

  // The newest stream's goes on: the shop may have much to do. Of sockets, browsers open one to a server
  // at a time, over all tabs: one that hangs holds up the others.
  const isGivenUp = (attempt) => attempt.way === "socket" || attempt !== attempts.at(-1);

  const jittered = (delay) => delay * (0.7 + 0.6 * Math.random());

  const drop = (attempt) => {
    attempt.dropped = true;
    clearTimeout(attempt.waiting);
    attempts = attempts.filter((other) => other !== attempt);
    if (connection === attempt) connection = null;
    attempt.line.close();
  };

  const hear = (attempt, text) => {
    attempt.heard = { at: Date.now(), ticks: performance.now() };
    if (attempt !== connection) take(attempt);
    if (text) swap(text); // else a heartbeat, or the present state of a page that shows nothing live
    swapping.then(() => {
      if (attempt === connection) setLive(true);
    });
  };

  const take = (attempt) => {
    for (const other of [...attempts, connection]) if (other && other !== attempt) drop(other);
    attempts = [];
    clearTimeout(attempt.waiting);
    connection = attempt;
    live.dataset.way = attempt.way;
    attempt.spokeAt = Date.now();
    failures = hung = 0;
    if (attempt.way === "events") {
      streamsCame = true;
      noteBlocked(false);
      return;
    }
    // Maybe the network has just come back: streams get another chance beside the socket.
    if (!attempt.isWanted) begin("events");
  };

  // The cart has as many event streams as a browser can hold.
  const overflow = (attempt) => {
    drop(attempt);
    streamsCame = true;
    if (!connection) begin("socket", true);
  };

  const end = (attempt) => {
    const wasConnection = attempt === connection;
    const wasNewest = attempt === attempts.at(-1);
    drop(attempt);
    if (wasConnection) {
      countCut(attempt);
      setLive(false);
      retry();
    } else if (connection) {
      noteBlocked(true); // nor did streams come when the socket did
    } else if (wasNewest) {
      retry();
    }
  };

  // Something on the way lets streams begin, and not go on.
  const countCut = ({ way, spokeAt, heard }) => {
    if (way !== "events") return;
    timesCut = heard.at - spokeAt < SHORT ? timesCut + 1 : 0;
    if (timesCut >= TIMES_CUT) noteBlocked(true);
  };

  const retry = () => {
    const delay = Math.min(FIRST_DELAY * 2 ** failures++, LONGEST_DELAY);
    // Which way it goes matters little while the shop itself is away: the other one is tried rarely.
    const way = failures % 8 === 2 ? otherThan(preferred) : preferred;
    retrying = setTimeout(() => begin(way), jittered(delay));
  };

  const tryOtherWay = (attempt) => {
    if (connection) {
      drop(attempt);
      noteBlocked(true);
    } else if (attempt === attempts.at(-1)) {
      hung += 1;
      // Where streams can be had, it is the network that is away: they show as well when it is back, and
      // Firefox has sockets wait the longer the more of them have failed.
      const rarely = streamsCame && preferred === "events";
      begin(rarely && hung % 4 ? "events" : otherThan(attempt.way));
    }
  };

  // --- Silence -----------------------------------------------------------------------------

  // A machine that slept may not have counted the time, and a wall clock may be set.
  const silentFor = ({ heard }) =>
    Math.max(Date.now() - heard.at, performance.now() - heard.ticks);

  const checkSilence = () => {
    if (!connection || silentFor(connection) < SILENCE) return;
    const silent = connection;
    drop(silent);
    countCut(silent);
    setLive(false, 0);
    begin(preferred);
  };

  // Timers of a hidden page hardly run, and those of a machine that sleeps don't: so what is shown
  // again is checked at once, and doesn't wait for what it had planned.
  const checkAnew = () => {
    if (leaving || document.hidden) return;
    checkSilence();
    const newest = attempts.at(-1);
    if (!connection && !(newest && Date.now() - newest.begunAt < CHECK_EVERY)) begin(preferred);
  };

  setInterval(checkSilence, CHECK_EVERY);
  document.addEventListener("visibilitychange", checkAnew);
  addEventListener("online", checkAnew);

  // --- From the first moment to the last ---------------------------------------------------------

  addEventListener("pagehide", () => {
    leaving = true;
    clearTimeout(retrying);
    for (const each of [...attempts, connection]) if (each) drop(each);
    root.dataset.live = "off"; // a page that the browser keeps is shown like this at first
    clearTimeout(saying);
  });

  addEventListener("pageshow", ({ persisted }) => {
    if (persisted) location.reload(); // kept as it was: what it shows is of then
  });

  setLive(false, 4 * SAY_SO_AFTER); // a page that is just loading isn't away yet
  begin(preferred);
})();

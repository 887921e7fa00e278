// Counts down to the opening of products, and to the end of what is held, by the shop's clock, which comes with the page and with every
// stream: the browser's own may be hours off. Says so quietly, and in the title of the tab.
"use strict";

(() => {
  const SECOND = 1000; // milliseconds, as all times here
  const ANNOUNCED = [
    [600 * SECOND, "10 minutes"],
    [60 * SECOND, "1 minute"],
  ];

  const all = (selector) => [...document.querySelectorAll(selector)];

  // --- The shop's time -----------------------------------------------------------------------
  // By ticks since the page was asked for, which nobody sets. What was sent took a while to come: so of
  // several readings the one that is ahead is right.

  let read = "";
  let ahead = -Infinity;

  const readClock = (ticks) => {
    const { now } = document.getElementById("clock").dataset;
    if (now === read) return;
    read = now;
    ahead = Math.max(ahead, Number(now) - ticks);
  };

  const now = () => performance.now() + ahead;

  // --- What is left -----------------------------------------------------------------------------

  const two = (number) => String(number).padStart(2, "0");

  const shown = (left) => {
    const seconds = Math.max(0, Math.ceil(left / SECOND));
    const [days, hours] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24];
    const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
    return `${days ? `${days} d ` : ""}${days || hours ? `${two(hours)}:` : ""}${rest}`;
  };

  const local = new Intl.DateTimeFormat(document.documentElement.lang, {
    weekday: "long",
    day: "numeric",
    month: "long",
    hour: "2-digit",
    minute: "2-digit",
    timeZoneName: "short",
  });

  const setText = (element, text) => {
    if (element && element.textContent !== text) element.textContent = text;
  };

  const showLocalTimes = () => {
    for (const time of all(".stock__when time, .cart-mark time")) setText(time, local.format(Date.parse(time.dateTime)));
  };

  // --- Said once, however many count down ----------------------------------------------------------

  let leftBefore = Infinity;

  const announce = (left, name) => {
    const passed = ANNOUNCED.find(([at]) => leftBefore > at && left <= at && left > 0);
    const isFirst = leftBefore === Infinity; // a page that has just come has said it all
    leftBefore = left;
    if (passed && !isFirst) setText(document.getElementById("announcement"), `${name} opens in ${passed[1]}.`);
  };

  // --- Every second ------------------------------------------------------------------------------

  let ticking = 0;

  // What is held: said to those who can't see it when a minute is left.
  const countHolds = () => {
    const holds = all("[data-ends-at]");
    for (const element of holds) {
      const left = Number(element.dataset.endsAt) - now();
      setText(element.querySelector(".hold__left"), left > 0 ? shown(left) : "0:00");
      if (element.id === "hold") announceHold(left);
    }
    return holds.length > 0;
  };

  let heldBefore = Infinity;

  const announceHold = (left) => {
    if (heldBefore > 60 * SECOND && heldBefore !== Infinity && left <= 60 * SECOND && left > 0) {
      setText(document.getElementById("announcement"), "One minute is left to pay.");
    }
    heldBefore = left;
  };

  const tick = () => {
    clearTimeout(ticking);
    const holding = countHolds();
    const coming = all("[data-opens-at]").map((element) => {
      const left = Date.parse(element.dataset.opensAt) - now();
      setText(element.querySelector(".stock__countdown"), left > 0 ? shown(left) : "Opening…");
      return { left, name: element.dataset.name };
    });
    const [first] = coming.sort((one, other) => one.left - other.left);
    const text = first && first.left > 0 ? shown(first.left) : "";
    document.dispatchEvent(new CustomEvent("shop:countdown", { detail: { text } }));
    if (first) announce(first.left, first.name);
    else leftBefore = Infinity;
    if (first || holding) ticking = setTimeout(tick, SECOND - (now() % SECOND) + 5);
  };

  const catchUp = (ticks) => {
    readClock(ticks);
    showLocalTimes();
    tick();
  };

  document.addEventListener("htmx:after:swap", () => catchUp(performance.now()));
  catchUp(performance.getEntriesByType("navigation")[0]?.responseStart || performance.now());
})();

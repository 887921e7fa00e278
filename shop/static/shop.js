// What htmx leaves to the page: nothing older than what is shown is swapped in, the page says
// when it is not live, keeps trying when the very first connect fails, and loses no focus.
"use strict";

(() => {
  const root = document.documentElement;
  const live = document.getElementById("live");
  const status = document.getElementById("live-status");
  const title = document.title;

  // --- Never back in time ------------------------------------------------------------------
  // An answer that was rendered before another tab's change may arrive after it. Fragments carry
  // their version; of another cart (two carts of one visitor were merged) any is newer.

  const isStale = ({ target, fragment }) => {
    const shown = typeof target === "string" ? document.querySelector(target) : target;
    const coming = fragment?.firstElementChild;
    if (!shown?.dataset.version || !coming?.dataset.version) return false;
    if (shown.dataset.cartRef !== coming.dataset.cartRef) return false;
    return Number(coming.dataset.version) < Number(shown.dataset.version);
  };

  let focused = null;

  document.addEventListener("htmx:before:swap", ({ detail: { tasks } }) => {
    const fresh = tasks.filter((task) => !isStale(task));
    tasks.splice(0, tasks.length, ...fresh);
    focused = placeOf(document.activeElement);
  });

  document.addEventListener("htmx:after:swap", () => {
    keepFocus();
    showTitle();
  });

  // --- Focus stays near where it was -------------------------------------------------------
  // The focused line of a cart, a notice or a size may be gone or sold out after a swap.

  const STEPS = ".cart-item__remove, .notice__swap, .notice__dismiss, .size-container__entry:enabled";

  const placeOf = (element) => {
    const part = element?.closest("#cart, #notices, .size-container");
    return part && { element, part, index: [...part.querySelectorAll(STEPS)].indexOf(element) };
  };

  const keepFocus = () => {
    if (!focused || (document.activeElement && document.activeElement !== document.body)) return;
    const steps = [...focused.part.querySelectorAll(STEPS)].filter((step) => step.offsetParent);
    const next = steps[Math.min(Math.max(focused.index, 0), steps.length - 1)];
    (next ?? document.getElementById("cart-title")).focus({ preventScroll: true });
  };

  document.addEventListener("click", ({ target }) => {
    if (!target.closest("[data-dismiss]")) return;
    focused = placeOf(document.activeElement);
    target.closest(".notice").setAttribute("data-dismissed", "");
    document.activeElement?.blur();
    keepFocus();
  });

  // --- A hidden tab tells by its title ------------------------------------------------------

  const showTitle = () => {
    const alert = document.getElementById("cart")?.dataset.alert;
    document.title = document.hidden && alert ? `${alert} · ${title}` : title;
  };

  document.addEventListener("visibilitychange", showTitle);

  // --- Live or not --------------------------------------------------------------------------

  const SAY_SO_AFTER = 800; // milliseconds: a stream that is back sooner was hardly away
  let leaving = false;
  let saying = 0;

  const setLive = (on) => {
    if (leaving || (root.dataset.live === "on") === on) return;
    root.dataset.live = on ? "on" : "off";
    clearTimeout(saying);
    if (on) {
      status.textContent = "";
      unsay();
    } else {
      saying = setTimeout(sayOff, SAY_SO_AFTER);
    }
  };

  const sayOff = () => {
    status.textContent = "Not live: reconnecting…";
  };

  root.dataset.live = "off";
  saying = setTimeout(sayOff, 4 * SAY_SO_AFTER); // a page that is just loading isn't away yet

  const on = (names, handle) => {
    for (const name of names) document.addEventListener(name, handle);
  };

  on(["htmx:sse:after:message"], ({ detail }) => {
    if (!detail.message.event) setLive(true);
  });
  on(["htmx:ws:after:message:incoming"], () => setLive(true));
  on(["htmx:sse:error", "htmx:sse:close", "htmx:ws:error", "htmx:ws:close"], () => setLive(false));
  // A stream that ended is fetched again: until then the page isn't live.
  on(["htmx:sse:before:connection", "htmx:ws:before:connection"], () => setLive(false));

  // htmx comes back to a stream that was open once; a first connect that fails is left to us.
  const FIRST_DELAY = 400; // milliseconds
  const LONGEST_DELAY = 3000;
  let streaming = false;
  let failures = 0;

  // Firefox lets a second request for an address wait for the first one's answer, for its cache.
  live.addEventListener("htmx:before:request", ({ detail }) => {
    detail.ctx.request.cache = "no-store";
  });
  live.addEventListener("htmx:sse:before:connection", () => {
    streaming = true;
    failures = 0;
  });
  live.addEventListener("htmx:finally:request", () => {
    if (streaming || leaving) return;
    const delay = Math.min(FIRST_DELAY * 2 ** failures++, LONGEST_DELAY);
    setTimeout(() => htmx.trigger(live, "shop:reconnect"), delay * (0.7 + 0.6 * Math.random()));
  });

  addEventListener("pagehide", () => {
    leaving = true;
  });
  addEventListener("pageshow", ({ persisted }) => {
    if (persisted) location.reload(); // kept by the browser as it was: what it shows is of then
  });

  // --- Actions that could not be sent, or take long --------------------------------------------

  const LONG = 2000; // milliseconds after which a shopper wonders

  const say = (text) => {
    const notice = document.createElement("div");
    notice.className = "notice notice--problem";
    notice.id = "notice-unsent";
    const words = document.createElement("p");
    words.className = "notice__text";
    words.textContent = text;
    const dismiss = document.createElement("button");
    dismiss.className = "notice__dismiss";
    dismiss.type = "button";
    dismiss.dataset.dismiss = "";
    dismiss.setAttribute("aria-label", "Dismiss");
    dismiss.textContent = "×";
    notice.append(words, dismiss);
    document.getElementById("notices-action").replaceChildren(notice);
  };

  const unsay = () => document.getElementById("notice-unsent")?.remove();

  document.addEventListener("htmx:before:request", ({ target, detail }) => {
    if (target === live) return;
    detail.ctx.wondering = setTimeout(() => say("The shop has not answered yet: still trying."), LONG);
  });
  document.addEventListener("htmx:finally:request", ({ detail }) => {
    clearTimeout(detail.ctx?.wondering);
  });
  document.addEventListener("htmx:error", ({ target, detail }) => {
    if (leaving || target === live || !detail.ctx) return;
    say("The shop can’t be reached right now. When it is back, your cart will be up to date again.");
  });

  // --- A purchase is sent once ----------------------------------------------------------------

  const checkout = document.getElementById("checkout");
  let sent = false;
  checkout?.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  document.getElementById("checkout-errors")?.focus();
})();

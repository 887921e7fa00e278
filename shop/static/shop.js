// What htmx leaves to the page: nothing older than what is shown is swapped in, no focus is lost, and
// who acts hears of what could not be done.
"use strict";

(() => {
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

  // --- Actions that could not be sent, or take long --------------------------------------------

  const LONG = 2000; // milliseconds after which a shopper wonders
  let leaving = false;

  addEventListener("pagehide", () => {
    leaving = true;
  });

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

  document.addEventListener("shop:live", ({ detail }) => {
    if (detail.on) document.getElementById("notice-unsent")?.remove();
  });

  document.addEventListener("htmx:before:request", ({ detail }) => {
    detail.ctx.wondering = setTimeout(() => say("The shop has not answered yet: still trying."), LONG);
  });
  document.addEventListener("htmx:finally:request", ({ detail }) => {
    clearTimeout(detail.ctx?.wondering);
  });
  document.addEventListener("htmx:error", ({ detail }) => {
    if (leaving || !detail.ctx) return;
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

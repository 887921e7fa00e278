// What htmx leaves to the page: nothing older than what is shown is swapped in, and who acts hears of
// what could not be done.
"use strict";

(() => {
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

  document.addEventListener("htmx:before:swap", ({ detail: { tasks } }) => {
    const fresh = tasks.filter((task) => !isStale(task));
    tasks.splice(0, tasks.length, ...fresh);
  });

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

  // --- A double click, or a key held down, buys once -------------------------------------------
  // Nothing is remembered of what was sent: nobody tells a page that a request was stopped, or lost on
  // the way. The purchase's number keeps what is sent again one purchase.

  const checkout = document.getElementById("checkout");
  checkout?.addEventListener("click", (event) => {
    if (event.detail > 1 && event.target.closest("#purchase")) event.preventDefault();
  });
  checkout?.addEventListener("keydown", (event) => {
    if (event.repeat && event.key === "Enter" && !event.target.closest("textarea")) event.preventDefault();
  });

  // An answer that got lost had the receipt: what was sent leads to it once more.
  let sent = null;
  checkout?.addEventListener("submit", () => {
    sent = [...new FormData(checkout)];
  });
  checkout?.addEventListener("click", (event) => {
    if (!sent || !event.target.closest('a[href="/checkout/complete"]')) return;
    event.preventDefault();
    const again = document.createElement("form");
    again.method = "post";
    again.action = checkout.action;
    again.hidden = true;
    for (const [name, value] of sent) again.append(hiddenInput(name, value));
    document.body.append(again);
    again.submit();
  });

  const hiddenInput = (name, value) =>
    Object.assign(document.createElement("input"), { type: "hidden", name, value });

  document.querySelector('#checkout [aria-invalid="true"]')?.focus();
})();

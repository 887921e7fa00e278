// What a change means for people who have the page open: it is said to those who can't see it, sizes that
// are in the cart are marked, the focus is never lost, and notices keep out of the way.
"use strict";

(() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);
  const title = document.title;

  // --- What is shown, and what changed of it ------------------------------------------------

  const snapshot = () => ({
    lines: new Map(all("#cart .cart-item").map((line) => [line.dataset.itemId, line.dataset.name])),
    marks: new Map(all("#cart .cart-mark").map((line) => [line.dataset.markedId, line.dataset.name])),
    prices: new Map(
      all("#cart .cart-item").map((line) => [
        line.dataset.itemId,
        line.querySelector(".cart-item__price").textContent,
      ]),
    ),
    closed: new Set(all("#cart .cart-item--out-of-stock").map((line) => line.dataset.itemId)),
    open: new Map(
      all(".product-listing:has(.size-container)").map((product) => [
        product.dataset.productId,
        product.querySelector(".product-listing__name").textContent,
      ]),
    ),
  });

  const missingFrom = (other, map) => [...map].filter(([id]) => !other.has(id)).map(([, name]) => name);

  const listed = (names) => (names.length > 3 ? `${names.length} items` : names.join("; "));

  const cartNews = (before, now) => {
    const added = missingFrom(before.lines, now.lines);
    const removed = missingFrom(now.lines, before.lines);
    if (added.length === 1 && removed.length === 1) return [`Swapped ${removed[0]} for ${added[0]}.`];
    return [
      added.length && `Added to your cart: ${listed(added)}.`,
      removed.length && `Removed from your cart: ${listed(removed)}.`,
    ];
  };

  // A price that changed is said, and stands on its line; a checkout asks once more for a moment.
  const LOOK_AGAIN = 3000; // milliseconds in which a press on the button is refused

  const priceNews = (before, now) => {
    const changed = [...now.prices].filter(([id, price]) => (before.prices.get(id) ?? price) !== price);
    for (const [id] of changed) byId(`cart-item-${id}`)?.toggleAttribute("data-price-changed", true);
    if (changed.length) setTimeout(agreeToPrices, LOOK_AGAIN);
    return changed.map(([id, price]) => `The price of ${now.lines.get(id)} is now ${price}.`);
  };

  // What the page shows by now is what its form sends as seen.
  const agreeToPrices = () => {
    for (const line of all("#cart .cart-item")) {
      const seen = byId(`seen-${line.dataset.itemId}`);
      if (seen) seen.value = `${line.dataset.itemId}:${line.dataset.price}`;
    }
  };

  const markNews = (before, now) => {
    const marked = missingFrom(before.marks, now.marks);
    const unmarked = missingFrom(new Map([...now.marks, ...now.lines]), before.marks);
    return [
      marked.length && `Marked for the opening: ${listed(marked)}.`,
      unmarked.length && `Not marked any more: ${listed(unmarked)}.`,
    ];
  };

  const backAgain = (before, now) =>
    [...before.closed]
      .filter((id) => now.lines.has(id) && !now.closed.has(id))
      .map((id) => `${now.lines.get(id)} is available again.`);

  const opened = (before, now) => {
    const names = missingFrom(before.open, now.open);
    return names.length ? `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} open.` : "";
  };

  // --- Said to those who can't see it ---------------------------------------------------------

  let shown = snapshot();
  let openedUnseen = "";
  let countdown = "";

  const announce = (news) => {
    const text = news.filter(Boolean).join(" ");
    if (text) byId("announcement").textContent = text;
  };

  const showTitle = () => {
    if (!document.hidden) openedUnseen = "";
    const alert = byId("cart")?.dataset.alert ?? openedUnseen;
    const first = document.hidden && alert ? alert : countdown;
    document.title = first ? `${first} · ${title}` : title;
  };

  document.addEventListener("shop:countdown", ({ detail }) => {
    countdown = detail.text;
    showTitle();
  });

  document.addEventListener("visibilitychange", showTitle);

  const mark = () => {
    markThose(".size-container__entry", shown.lines, "in-cart");
    markThose(".product-soon__size", shown.marks, "marked");
  };

  const markThose = (selector, chosen, description) => {
    for (const size of all(selector)) {
      const isChosen = chosen.has(size.value);
      size.toggleAttribute("data-in-cart", isChosen);
      if (isChosen) size.setAttribute("aria-describedby", description);
      else size.removeAttribute("aria-describedby");
    }
  };

  // --- Focus is never lost ------------------------------------------------------------------
  // What has it may be gone after a swap: then its neighbour gets it. A button that can't be pressed any
  // more leaves it to what stands around it, which does nothing when Enter is pressed that was
  // meant for the button, and takes it back when it can be pressed again.

  const STEPS = ".cart-item__remove, .notice__swap, .notice__dismiss";
  let focused = null;
  let disabled = null;
  let holder = null;

  const placeOf = (element) => {
    const part = element?.closest("#cart, #notices, .size-container, .product-soon__sizes, #purchase-area");
    const stock = part?.closest(".stock")?.id;
    return part && { element, part, stock, index: all(STEPS, part).indexOf(element) };
  };

  const focus = (element) => {
    element?.focus({ preventScroll: true });
    return element && document.activeElement === element;
  };

  const hold = (button) => {
    const around = button.closest(".size-container") ?? byId("purchase-hint");
    if (focus(around)) [disabled, holder] = [button, around];
  };

  const passOn = ({ part, stock, index }) => {
    // Marked sizes opened: the focus goes to where they are now.
    if (stock && focus(byId(stock)?.querySelector(".size-container, .product-soon__sizes"))) return;
    const steps = all(STEPS, part).filter((step) => step.offsetParent);
    const next = steps[Math.min(Math.max(index, 0), steps.length - 1)];
    focus(next) || focus(byId("cart-title")) || focus(byId("cart-bar")) || focus(byId("main"));
  };

  const giveBack = () => {
    if (document.activeElement !== holder) disabled = holder = null;
    else if (disabled?.isConnected && !disabled.disabled) focus(disabled);
  };

  const keepFocus = () => {
    giveBack();
    if (!focused) return;
    const { element } = focused;
    if (element.isConnected && element.disabled) return hold(element);
    if (document.activeElement && document.activeElement !== document.body) return;
    if (!element.isConnected || !focus(element)) passOn(focused);
  };

  // From there Tab goes on as from the button.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Tab" || !holder || document.activeElement !== holder) return;
    const steps = all("button:enabled", holder);
    const side = event.shiftKey ? Node.DOCUMENT_POSITION_PRECEDING : Node.DOCUMENT_POSITION_FOLLOWING;
    const beside = steps.filter((step) => disabled.compareDocumentPosition(step) & side);
    if (focus(event.shiftKey ? beside.at(-1) : beside[0])) event.preventDefault();
  });

  // --- A second click means nothing ------------------------------------------------------------
  // Of a double click, of a tap that seemed to do nothing, or on what has slid under the thumb.

  const SLID = 400; // milliseconds
  const sending = new WeakSet();
  let slid = -SLID;

  document.addEventListener(
    "click",
    (event) => {
      const button = event.target.closest?.("button[hx-post]");
      if (!button) return;
      const underThumb = button.matches(".notice__swap") && event.timeStamp - slid < SLID;
      if (event.detail > 1 || sending.has(button) || underThumb) {
        event.preventDefault();
        event.stopImmediatePropagation();
      } else if (button.matches(".notice__swap")) {
        leaveGap(button.closest(".notice__line"));
      }
    },
    { capture: true },
  );
  document.addEventListener("htmx:before:request", ({ detail }) => {
    if (detail.ctx?.sourceElement) sending.add(detail.ctx.sourceElement);
  });
  document.addEventListener("htmx:finally:request", ({ detail }) => {
    if (detail.ctx?.sourceElement) sending.delete(detail.ctx.sourceElement);
  });

  // --- Notices ------------------------------------------------------------------------------

  // A line that was swapped leaves its room for a moment.
  const GAP_STAYS = 1500; // milliseconds
  let gap = null;

  const leaveGap = (line) => {
    const stays = line.cloneNode(true);
    stays.inert = true;
    stays.removeAttribute("id");
    for (const inner of all("[id]", stays)) inner.removeAttribute("id");
    gap = { of: line.id, stays, index: [...line.parentNode.children].indexOf(line) };
    const own = gap;
    setTimeout(() => {
      if (gap === own) gap = null;
      if (stays.isConnected) slid = performance.now();
      stays.remove();
    }, GAP_STAYS);
  };

  const keepGap = () => {
    const lines = document.querySelector(".notice__lines");
    if (!gap || !lines || byId(gap.of) || gap.stays.isConnected) return;
    lines.insertBefore(gap.stays, lines.children[gap.index] ?? null);
  };

  // Which lines somebody has dismissed, for the next pages of this tab. Storage may be forbidden.
  const DISMISSED = "dismissed";
  const MOST_DISMISSED = 100;

  const dismissedBefore = () => {
    try {
      return JSON.parse(sessionStorage.getItem(DISMISSED)) ?? [];
    } catch {
      return [];
    }
  };

  let dismissed = dismissedBefore();

  const hideDismissed = () => {
    for (const line of all(".notice__line[id]")) {
      line.toggleAttribute("data-dismissed", dismissed.includes(line.id));
    }
  };

  const dismiss = (notice) => {
    notice.toggleAttribute("data-dismissed", !notice.querySelector(".notice__line"));
    const ids = all(".notice__line[id]", notice).map((line) => line.id);
    dismissed = [...dismissed, ...ids].slice(-MOST_DISMISSED);
    try {
      sessionStorage.setItem(DISMISSED, JSON.stringify(dismissed));
    } catch {
      // no room, or not allowed: for this page it is known
    }
    hideDismissed();
  };

  document.addEventListener("click", ({ target }) => {
    if (!target.closest("[data-dismiss]")) return;
    const place = placeOf(document.activeElement);
    dismiss(target.closest(".notice"));
    if (place) passOn(place);
  });

  // What only confirms goes by itself, but not while somebody is at it.
  const CONFIRMS_FOR = 6000; // milliseconds

  const letGo = (notice) => {
    if (notice.matches(":hover, :focus-within")) setTimeout(letGo, CONFIRMS_FOR, notice);
    else notice.remove();
  };

  const timed = new WeakSet();

  const timeNotices = () => {
    for (const notice of all("#notices-action .notice--info")) {
      if (!timed.has(notice)) setTimeout(letGo, CONFIRMS_FOR, notice);
      timed.add(notice);
    }
  };

  // --- After every swap -----------------------------------------------------------------------

  const settle = () => {
    mark();
    hideDismissed();
    timeNotices();
  };

  document.addEventListener("htmx:before:swap", () => {
    focused = placeOf(document.activeElement);
  });
  document.addEventListener("htmx:after:swap", () => {
    const before = shown;
    shown = snapshot();
    keepGap();
    settle();
    keepFocus();
    const open = opened(before, shown);
    if (document.hidden) openedUnseen ||= open;
    announce([...cartNews(before, shown), ...priceNews(before, shown), ...markNews(before, shown), ...backAgain(before, shown), open]);
    showTitle();
  });

  settle();
})();

// What is typed at the checkout outlives the page, for as long as the tab is open: a reload, a look
// at another size, and the next order.
"use strict";

(() => {
  const DRAFT = "checkout";
  const form = document.getElementById("checkout");
  const fields = [...form.querySelectorAll(".field__input")];

  // Storage may be forbidden: then it is as without this script.
  const typedBefore = () => {
    try {
      return JSON.parse(sessionStorage.getItem(DRAFT)) ?? {};
    } catch {
      return {};
    }
  };

  const keep = () => {
    const typed = Object.fromEntries(fields.map(({ name, value }) => [name, value]));
    try {
      sessionStorage.setItem(DRAFT, JSON.stringify(typed));
    } catch {
      // no room, or not allowed
    }
  };

  // An answer to what was just sent shows that already; any other page may be older than the draft.
  const answered = document.getElementById("checkout-errors");
  const typed = answered ? {} : typedBefore();
  for (const field of fields) {
    if (typeof typed[field.name] === "string") field.value = typed[field.name];
  }
  if (answered) {
    keep();
    // Reload and Back then ask for the page, and don't send again what was refused.
    history.replaceState(history.state, "", location.href);
  }
  form.addEventListener("input", keep);
})();

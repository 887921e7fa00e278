// What is typed at the checkout outlives the page, for as long as the tab is open and nothing was
// bought with it: a reload, and a look at another size. For the next purchase there is a checkbox.
"use strict";

(() => {
  const DRAFT = "checkout";
  const form = document.getElementById("checkout");
  const fields = [...form.querySelectorAll(".field__input, #remember")];
  // Which purchase of the cart this is to be: what was typed for another one is not for this.
  const purchase = form.querySelector('input[name="purchase"]').value;

  // Storage may be forbidden: then it is as without this script.
  const typedBefore = () => {
    try {
      const typed = JSON.parse(sessionStorage.getItem(DRAFT)) ?? {};
      if (typed.purchase === purchase) return typed;
      sessionStorage.removeItem(DRAFT);
    } catch {
      // as if nothing was typed
    }
    return {};
  };

  const keep = () => {
    const typed = { purchase };
    for (const field of fields) typed[field.name] = field.type === "checkbox" ? field.checked : field.value;
    try {
      sessionStorage.setItem(DRAFT, JSON.stringify(typed));
    } catch {
      // no room, or not allowed
    }
  };

  const fill = (field, typed) => {
    if (field.type === "checkbox") field.checked = typed === true;
    else if (typeof typed === "string") field.value = typed;
  };

  // An answer to what was just sent shows that already; any other page may be older than the draft.
  const answered = document.getElementById("checkout-errors");
  const typed = answered ? {} : typedBefore();
  for (const field of fields) {
    if (field.name in typed) fill(field, typed[field.name]);
  }
  if (answered) {
    keep();
    // Reload and Back then ask for the page, and don't send again what was refused.
    history.replaceState(history.state, "", location.href);
  }
  form.addEventListener("input", keep);
  document.getElementById("forget")?.addEventListener("submit", () => {
    try {
      sessionStorage.removeItem(DRAFT);
    } catch {
      // there is none
    }
  });
})();

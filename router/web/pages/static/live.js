// Keeps a page fresh: when something changes the page is fetched again and its parts are replaced.
// Without this script everything works by reloading.
"use strict";
(() => {
  const parts = () => document.querySelectorAll("[data-live]");
  const state = { timer: 0, busy: false, again: false };

  // What somebody is working in is left alone: a field with focus, a ticked box, an open detail.
  const isInUse = (part) =>
    (part.contains(document.activeElement) &&
      document.activeElement.matches("input, select, textarea")) ||
    part.querySelector("input:checked, details[open]") !== null;

  async function refresh() {
    if (state.busy) { state.again = true; return; }
    state.busy = true;
    try {
      const answer = await fetch(location.href, {
        headers: { "X-Refresh": "1" }, credentials: "same-origin", redirect: "manual",
      });
      if (answer.type === "opaqueredirect") { location.reload(); return; }
      if (!answer.ok) { return; }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of parts()) {
        const other = fresh.getElementById(part.id);
        if (other && other.innerHTML !== part.innerHTML && !isInUse(part)) {
          part.replaceChildren(...other.childNodes);
        }
      }
    } catch { /* the router restarts: the next event or tick tries again */ } finally {
      state.busy = false;
      if (state.again) { state.again = false; soon(); }
    }
  }

  function soon() {
    if (document.hidden) { state.again = true; return; }
    clearTimeout(state.timer);
    state.timer = setTimeout(refresh, 400);
  }

  function listen() {
    const events = new EventSource("/events");
    events.addEventListener("task", soon);
    events.addEventListener("station", soon);
    addEventListener("pagehide", () => events.close());
  }

  if (parts().length && document.body.dataset.method === "GET") {
    listen();
    setInterval(soon, 10000);
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && state.again) { state.again = false; soon(); }
    });
  }

  // One box ticks all, and buttons that need a choice say so.
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) {
      for (const box of document.querySelectorAll(`input[name="${event.target.dataset.all}"]`)) {
        box.checked = event.target.checked;
      }
    }
  });

  // What begins as is typed, of the names that the page itself would offer.
  const typing = { timer: 0, last: 0 };

  async function suggest(form) {
    const mine = ++typing.last;
    const asked = new URLSearchParams();
    for (const field of form.querySelectorAll("[data-suggest]")) { asked.set(field.name, field.value); }
    try {
      const answer = await fetch(`${location.pathname}?${asked}`, {
        credentials: "same-origin", redirect: "manual",
      });
      if (!answer.ok || mine !== typing.last) { return; }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const list of form.querySelectorAll("datalist")) {
        const other = fresh.getElementById(list.id);
        if (other) { list.replaceChildren(...other.childNodes); }
      }
    } catch { /* the router restarts: what is offered stays as it was */ }
  }

  document.addEventListener("input", (event) => {
    if (!event.target.matches("[data-suggest]")) { return; }
    clearTimeout(typing.timer);
    typing.timer = setTimeout(() => suggest(event.target.form), 200);
  });

  // Ask before what cannot be taken back.
  document.addEventListener("submit", (event) => {
    const asked = event.submitter && event.submitter.dataset.confirm;
    if (asked && !confirm(asked)) { event.preventDefault(); }
  });
})();

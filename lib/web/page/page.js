// Keeps the page up to date: what changed comes as HTML, part by part. Without this script it is read anew now and then.
"use strict";
const cards = document.getElementById("cards");
const form = document.querySelector("form");
const parts = new Map();
const seek = (root) =>
  root.querySelectorAll("[data-part]").forEach((each) => parts.set(each.dataset.part, each));
let source;

function watch() {
  source?.close();
  if (document.hidden) return;
  const opened = new EventSource(`/events${location.pathname}${location.search}`);
  source = opened;
  opened.addEventListener("open", () => document.body.classList.remove("stale"));
  opened.addEventListener("error", () => {
    document.body.classList.add("stale");
    // It comes again by itself, unless it was refused.
    if (opened.readyState === EventSource.CLOSED && source === opened) setTimeout(watch, 5000);
  });
  opened.addEventListener("message", ({ data }) => take(JSON.parse(data)));
}

function take({ title, isWhole, parts: changed, gone = [] }) {
  document.title = title;
  for (const name of gone) drop(name);
  if (isWhole) {
    const names = new Set(changed.map(([name]) => name));
    for (const name of parts.keys()) if (name.startsWith("card ") && !names.has(name)) drop(name);
    // The order may be another, too.
    let before = null;
    for (const [name, html] of changed.toReversed()) {
      put(name, html, before);
      before = name.startsWith("card ") ? name : null;
    }
  } else for (const [name, html, before] of changed) put(name, html, before);
  if (cards) cards.className = cards.childElementCount <= 9 ? "few" : "many";
}

function drop(name) {
  parts.get(name)?.remove();
  parts.delete(name);
}

function put(name, html, before) {
  const old = parts.get(name);
  const focused = old?.contains(document.activeElement) && focusables(old).indexOf(document.activeElement);
  if (name.startsWith("card ")) {
    if (!cards) return;
    const made = document.createElement("template");
    made.innerHTML = html;
    const card = made.content.firstElementChild;
    const next = parts.get(before) ?? null;
    if (old && old.outerHTML === card.outerHTML) {
      if (old.nextElementSibling !== next) cards.insertBefore(old, next);
      return;
    }
    old?.remove();
    cards.insertBefore(card, next);
    parts.set(name, card);
  } else {
    if (!old || old.innerHTML === html) return;
    const isAtEnd = old.scrollHeight - old.scrollTop - old.clientHeight < 30;
    old.innerHTML = html;
    if (name === "log" && isAtEnd) old.scrollTop = old.scrollHeight;
  }
  if (typeof focused === "number" && focused >= 0) focusables(parts.get(name))[focused]?.focus();
}

const focusables = (root) => [...root.querySelectorAll("a,[tabindex]")];

// The form answers at once, without a new page.
let typed;
form?.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => {
    const asked = [...new FormData(form)].filter(([, value]) => value !== "");
    const query = new URLSearchParams(asked).toString();
    history.replaceState(null, "", query === "" ? "/" : `/?${query}`);
    watch();
  }, 250);
});
form?.addEventListener("submit", (event) => event.preventDefault());

// What a piece of a strip says, for the pointer and for the keyboard.
const tip = document.createElement("p");
tip.id = "tip";
tip.hidden = true;
document.body.append(tip);
function point({ target }) {
  const text = target.closest?.(".strip [tabindex]")?.querySelector("title")?.textContent;
  tip.hidden = text === undefined;
  if (tip.hidden) return;
  tip.textContent = text;
  const { left, bottom } = target.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(left, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${bottom + tip.offsetHeight + 8 > innerHeight ? bottom - tip.offsetHeight - 30 : bottom + 6}px`;
}
addEventListener("focusin", point);
addEventListener("pointerover", point);
addEventListener("focusout", () => (tip.hidden = true));
addEventListener("scroll", () => (tip.hidden = true), true);
addEventListener("keydown", (event) => {
  if (event.key === "Escape") tip.hidden = true;
  const at = event.target;
  if (!at.matches?.(".strip [tabindex]")) return;
  const all = [...at.parentNode.querySelectorAll("[tabindex]")];
  const to = {
    ArrowLeft: all.indexOf(at) - 1,
    ArrowRight: all.indexOf(at) + 1,
    Home: 0,
    End: all.length - 1,
  }[event.key];
  if (!all[to]) return;
  event.preventDefault();
  at.tabIndex = -1;
  all[to].tabIndex = 0;
  all[to].focus();
});

document.addEventListener("visibilitychange", watch);
document.documentElement.classList.add("live");
seek(document);
const log = parts.get("log");
if (log) log.scrollTop = log.scrollHeight;
watch();

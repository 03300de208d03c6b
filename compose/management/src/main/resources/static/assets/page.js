// Submits the form's URL, and keeps the list as the API has it. Text gets onto the page as text only, never as markup.
"use strict";

const POLL_MS = 2000;
const API = `${location.origin}/api/v1/tasks`; // absolute: a page opened as http://user:password@host may not fetch relative addresses

const form = document.getElementById("submit");
const input = document.getElementById("url");
const message = document.getElementById("message");
const list = document.getElementById("tasks");
const none = document.getElementById("none");
const stale = document.getElementById("stale");

function say(text, isError) {
  message.textContent = text;
  message.classList.toggle("error", isError);
  input.setAttribute("aria-invalid", String(isError));
}

// The browser's own reading of what was typed or pasted (spaces encoded, host in ASCII); else as it stands,
// and the server says what is wrong with it.
function normalised(text) {
  try {
    return new URL(text).href;
  } catch {
    return text;
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const response = await fetch(API, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ url: normalised(input.value.trim()) }),
    });
    const answer = await response.json();
    if (response.ok) {
      say(`Accepted as no. ${answer.id}.`, false);
      form.reset();
      await update();
    } else {
      say(answer.detail, true);
      input.focus();
    }
  } catch {
    say("The server can't be reached. Nothing was submitted.", true);
  } finally {
    button.disabled = false;
  }
});

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function picture(task) {
  if (!task.links.thumbnail) {
    const empty = element("span", "picture");
    empty.setAttribute("aria-hidden", "true");
    return empty;
  }
  const link = element("a", "picture");
  link.href = task.links.original;
  const image = element("img");
  image.src = task.links.thumbnail;
  image.alt = `Thumbnail of picture ${task.id}`;
  image.loading = "lazy";
  if (task.outcome.thumbnail_width) image.width = task.outcome.thumbnail_width;
  if (task.outcome.thumbnail_height) image.height = task.outcome.thumbnail_height;
  link.append(image);
  return link;
}

function item(task) {
  const made = element("li", "task");
  made.dataset.id = task.id;
  made.dataset.state = task.state;
  const facts = element("p");
  const time = element("time", "", new Date(task.submitted_at).toLocaleString());
  time.dateTime = task.submitted_at;
  facts.append(element("span", "state", task.state), " ", element("span", "number", `no. ${task.id}`), " ", time);
  const text = element("div", "text");
  text.append(element("p", "url", task.url), facts);
  if (task.outcome && task.outcome.description) text.append(element("p", "description", task.outcome.description));
  made.append(picture(task), text);
  return made;
}

// Only what has changed is drawn anew, so that focus and loaded pictures stay.
function draw(tasks) {
  const shown = new Map([...list.children].map((child) => [child.dataset.id, child]));
  const wanted = tasks.map((task) => {
    const old = shown.get(String(task.id));
    return old && old.dataset.state === task.state ? old : item(task);
  });
  const unchanged = wanted.length === list.children.length && wanted.every((child, i) => child === list.children[i]);
  if (!unchanged) list.replaceChildren(...wanted);
  none.hidden = tasks.length > 0;
}

let latest = 0; // answers may overtake each other: only the last asked counts

async function update() {
  const asked = ++latest;
  const query = new URLSearchParams({ limit: list.dataset.limit });
  if (list.dataset.before) query.set("before", list.dataset.before);
  try {
    const response = await fetch(`${API}?${query}`, { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(String(response.status));
    const answer = await response.json();
    if (asked === latest) draw(answer.tasks);
    stale.hidden = true;
  } catch {
    stale.hidden = false;
  }
}

async function poll() {
  if (!document.hidden) await update();
  setTimeout(poll, POLL_MS);
}

for (const time of document.querySelectorAll("time")) time.textContent = new Date(time.dateTime).toLocaleString();
poll();

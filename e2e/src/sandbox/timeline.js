"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const LABELS = 300, ROW = 20, COMMITS = 27, AXIS = 22, RIGHT = 14;
const STAGES = {
  waiting: ["waiting", "In Kafka, or with a process that has not begun with it."],
  run: ["a process's work", "Frame: all that one process did about the task, from its start to the acknowledged outcome."],
  cut: ["cut short", "Dashed frame: work that its process could not report: it died, or the run ended first."],
  fetch: ["fetch", "The GET of the picture."],
  thumbnail: ["thumbnail", "Decoding and scaling."],
  get_original: ["get original", "An original that was stored before is read back."],
  put_original: ["put original", "The picture goes to the store."],
  put_thumbnail: ["put thumbnail", "The thumbnail goes to the store."],
  send: ["send", "The outcome goes to Kafka, until acknowledged."],
  trial: ["trial", "A suspect record is worked on in a child process."],
  management: ["management", "The Java application: the request, its task, its reading of the outcome."],
};
const MARKS = {
  lost: "LOST", wrong: "WRONG", lied: "LIED ABOUT", late: "LATE", set_back: "SET BACK", recorded: "RERUN THOUGH DONE",
  repeated: "repeated", rerun: "rerun", expired: "expired",
};
const SEVERE = ["lost", "wrong", "lied", "late", "set_back", "recorded"];
const SHADES = [1, 0.68, 0.46, 0.3];
const shade = (process) => (process == null ? 1 : SHADES[process % SHADES.length]);
const whoIs = (process) => (process == null ? "unknown" : data.processes[process].name);
const s = (ms) => (ms / 1000).toFixed(3) + " s";
const lasted = (ms) => (ms < 1000 ? (Math.round(ms * 10) / 10) + " ms" : (ms / 1000).toFixed(2) + " s");

// What a test does to a process matters until that has ended.
for (const p of data.processes) {
  for (const f of faultsOf(p)) if (p.to != null && f.from < p.to && !f.moment) f.to = Math.min(f.to ?? p.to, p.to);
}
function faultsOf(p) { return data.faults.filter((f) => f.what.startsWith(p.name + ": ")); }

// The lanes, from top to bottom.
const lanes = [];
for (const [index, process] of data.processes.entries()) lanes.push({ kind: "process", height: ROW, index, process });
for (const partition of data.partitions) lanes.push({ kind: "commits", height: COMMITS, partition });
for (const task of data.tasks) lanes.push({ kind: "task", height: ROW, task, words: words(task) });
const SECTIONS = { process: "Processes", commits: "Commits, one lane a partition", task: "Tasks, those with a mark first" };
function words(task) {
  return [task.subject, task.place, task.url, ...task.marks.map((m) => MARKS[m.kind] + " " + m.why)].join(" ").toLowerCase();
}
function pathOf(url) {
  try { const u = new URL(url); return u.pathname + u.search; } catch { return url; }
}

const times = [0, data.until];
for (const p of data.processes) times.push(p.from ?? 0, p.to ?? 0);
for (const f of data.faults) times.push(f.from, f.to ?? data.until);
for (const t of data.tasks) for (const b of t.bars) times.push(b[2], b[3]);
const first = Math.min(...times), last = Math.max(...times), margin = (last - first) * 0.015 + 1;
// Room for what stands behind the last ends.
const WHOLE = [first - margin, last + 5 * margin];
let view = [...WHOLE], chosen = null, items = [], width = 0, shown = [];

const x = (ms) => LABELS + ((ms - view[0]) / (view[1] - view[0])) * (width - LABELS - RIGHT);
const ms = (px) => view[0] + ((px - LABELS) / (width - LABELS - RIGHT)) * (view[1] - view[0]);
const clampX = (px) => Math.max(LABELS, Math.min(width - RIGHT, px));
function node(parent, name, attributes, text, about) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text != null) made.textContent = text;
  if (about != null) { made.dataset.item = items.length; items.push(about); }
  parent.appendChild(made);
  return made;
}
/** A bar of the plot; nothing where it is out of view. */
function bar(parent, from, to, y, height, attributes, about, least = 2) {
  if (to < view[0] || from > view[1]) return null;
  const left = clampX(x(from)), right = clampX(x(to));
  return node(parent, "rect", { x: left, y, width: Math.max(least, right - left), height, ...attributes }, null, about);
}
const inView = (at) => at >= view[0] && at <= view[1];
const textWidth = (text) => text.length * 6.1 + 8;
function diamond(cx, cy, r) { return `${cx},${cy - r} ${cx + r},${cy} ${cx},${cy + r} ${cx - r},${cy}`; }

// Faults get lanes in which their names do not overlap, once for the whole run.
const FAULT_LANES = 7;
function faultLanes() {
  const free = [];
  for (const fault of data.faults) {
    const from = x(fault.from), to = Math.max(x(fault.to ?? last), from + textWidth(fault.what));
    let lane = free.findIndex((end) => end < from);
    if (lane < 0) lane = free.length < FAULT_LANES ? free.length : FAULT_LANES - 1;
    free[lane] = Math.max(free[lane] ?? 0, to + 6);
    fault.lane = lane;
  }
  return Math.max(1, free.length);
}
let faultRows = 1;
function aboutFault(f) {
  if (f.moment) return `${f.what}\nat ${s(f.from)}`;
  const until = f.to == null ? "until the end" : `to ${s(f.to)} (${lasted(f.to - f.from)})`;
  return `${f.what}\nfrom ${s(f.from)} ${until}`;
}

function drawHead() {
  const svg = $("head"), height = AXIS + faultRows * 16 + 6;
  svg.replaceChildren();
  svg.setAttribute("width", width); svg.setAttribute("height", height);
  node(svg, "text", { x: 10, y: 15, class: "soft" }, "seconds since the first record");
  const wanted = (view[1] - view[0]) / Math.max(3, (width - LABELS) / 110), power = 10 ** Math.floor(Math.log10(wanted));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= wanted);
  for (let at = Math.ceil(view[0] / step) * step; at <= view[1]; at += step) {
    node(svg, "line", { x1: x(at), x2: x(at), y1: 18, y2: height, class: "grid" });
    const digits = Math.max(0, Math.min(4, -Math.floor(Math.log10(step / 1000))));
    node(svg, "text", { x: x(at), y: 14, "text-anchor": "middle" }, (at / 1000).toFixed(digits));
  }
  node(svg, "text", { x: 10, y: AXIS + 13, class: "section" }, data.faults.length ? "Faults" : "Faults: none");
  for (const f of data.faults) {
    const y = AXIS + f.lane * 16, from = f.from, to = f.moment ? from : f.to ?? last, about = aboutFault(f);
    if (to < view[0] || from > view[1]) continue;
    if (f.moment) node(svg, "polygon", { points: diamond(x(from), y + 8, 5), class: "fault" }, null, about);
    else bar(svg, from, to, y + 12, 3, { class: "fault" }, about);
    const at = f.moment ? x(from) + 7 : Math.max(LABELS, x(from));
    const turned = at + textWidth(f.what) > width;
    if (!f.moment && from < view[0] && x(to) - LABELS < textWidth(f.what)) continue;
    node(svg, "text", { x: turned ? Math.max(LABELS, x(from)) - 8 : at, y: y + 11, "text-anchor": turned && x(from) > LABELS + textWidth(f.what) ? "end" : "start" }, f.what, about);
  }
}

function drawBody() {
  const svg = $("body"), find = $("find").value.trim().toLowerCase();
  svg.replaceChildren();
  shown = lanes.filter((lane) => lane.kind !== "task" || !find || lane.words.includes(find));
  let y = 0, section = null;
  const stripes = node(svg, "g", {}), bands = node(svg, "g", {}), body = node(svg, "g", {});
  for (const [index, lane] of shown.entries()) {
    if (lane.kind !== section) {
      section = lane.kind;
      node(body, "text", { x: 10, y: y + 16, class: "section" }, SECTIONS[section]);
      y += 22;
    }
    lane.y = y;
    if (index % 2) node(stripes, "rect", { x: 0, y, width, height: lane.height, class: "stripe" });
    if (lane === chosen) node(stripes, "rect", { x: 0, y, width, height: lane.height, class: "chosen" });
    ({ process: drawProcess, commits: drawCommits, task: drawTask })[lane.kind](body, lane, y);
    y += lane.height;
  }
  y += 8;
  svg.setAttribute("width", width); svg.setAttribute("height", y);
  for (const f of data.faults) {
    if (f.path) continue;
    const to = f.moment ? f.from : f.to ?? last;
    if (!f.moment) bar(bands, f.from, to, 0, y, { class: "band" });
    for (const at of f.moment ? [f.from] : [f.from, to]) if (inView(at)) node(svg, "line", { x1: x(at), x2: x(at), y1: 0, y2: y, class: "edge", "stroke-dasharray": f.moment ? "none" : "2 4" });
  }
}

function drawProcess(g, lane, y) {
  const p = lane.process, from = p.from ?? first, to = p.to ?? last;
  node(g, "text", { x: 18, y: y + 14, class: "strong" }, p.name);
  if (p.run) node(g, "text", { x: LABELS - 6, y: y + 14, class: "soft", "text-anchor": "end" }, "run " + p.run.slice(0, 8));
  const about = aboutProcess(p);
  bar(g, from, to, y + 6, 9, { class: "life", "fill-opacity": shade(lane.index) }, about);
  for (const f of faultsOf(p)) {
    const what = f.what.slice(p.name.length + 2);
    if (f.moment && inView(f.from)) node(g, "polygon", { points: diamond(x(f.from), y + 10, 6), class: "fault" }, null, aboutFault(f));
    else if (!f.moment && bar(g, f.from, f.to ?? last, y + 4, 13, { class: "fault", "fill-opacity": 0.75 }, aboutFault(f)) && x(f.to ?? last) - x(f.from) > textWidth(what)) node(g, "text", { x: clampX(x(f.from)) + 4, y: y + 14, class: "on" }, what);
  }
  if (p.to == null || !inView(p.to)) return;
  const end = (/kill/.test(p.end) ? "✕ " : "■ ") + p.end, fits = x(p.to) + textWidth(end) < width;
  node(g, "text", { x: x(p.to) + (fits ? 5 : -12), y: y + 14, "text-anchor": fits ? "start" : "end" }, end, about);
}
function aboutProcess(p) {
  const run = p.run ? `run id ${p.run}` : "it has no run id";
  return `${p.name}: ${run}\nstarted ${p.from == null ? "unknown" : s(p.from)}, ${p.to == null ? "" : s(p.to) + " "}${p.end}`;
}

function drawCommits(g, lane, y) {
  const { partition, commits } = lane.partition, lies = commits.filter((c) => c.lie).length;
  node(g, "text", { x: 18, y: y + 17, class: lies ? "lied" : "" }, `partition ${partition}`);
  node(g, "text", { x: LABELS - 6, y: y + 17, class: "soft", "text-anchor": "end" }, `${commits.length} commit${commits.length === 1 ? "" : "s"}${lies ? `, ${lies} UNTRUE` : ""}`);
  for (const [from, to, writer] of owners(commits)) {
    const about = `partition ${partition} is ${whoIs(writer)}'s, by what it commits\n${s(from)} to ${s(to)}`;
    const own = bar(g, from, to, y + 16, 9, { class: "own", "fill-opacity": shade(writer) }, about);
    const name = whoIs(writer);
    if (own && +own.getAttribute("width") > textWidth(name)) node(g, "text", { x: +own.getAttribute("x") + 4, y: y + 24, class: "on small" }, name, about);
  }
  commits.forEach((c, index) => {
    if (!inView(c.at)) return;
    const at = x(c.at), next = commits[index + 1], room = (next ? Math.min(x(next.at), width) : width - RIGHT) - at - 12;
    const kind = "commit" + (c.lie ? " lie" : "") + (c.open ? "" : " closed");
    node(g, "polygon", { points: diamond(at, y + 8, c.lie ? 7 : 4.5), class: kind, "fill-opacity": c.open ? shade(c.writer) : 1 }, null, aboutCommit(c));
    const text = (c.offset ?? "removed") + (c.unfinished > 1 ? ` +${c.unfinished}` : "");
    if (room > textWidth(text) - 8) node(g, "text", { x: at + 7, y: y + 12, class: c.lie ? "lied" : "soft" }, text);
  });
}
/** From a writer's first commit to its closing one, to that of another, or to the writer's end. */
function owners(commits) {
  const owned = [];
  let now = null;
  for (const c of commits) {
    if (now && (c.writer !== now[2] || !c.open)) { now[1] = c.at; now = null; }
    if (!now && c.open && c.writer != null) owned.push(now = [c.at, last, c.writer]);
  }
  for (const owner of owned) owner[1] = Math.max(owner[0], Math.min(owner[1], data.processes[owner[2]]?.to ?? last));
  return owned;
}
function aboutCommit(c) {
  const map = c.unfinished ? `unfinished below ${c.end}: ${c.unfinished} offsets` : "no map: all above the offset is open";
  const lie = c.lie ? `\nUNTRUE (I3): unfinished at that moment: ${c.lie}` : "";
  const writer = c.note ? `note not believed: ${c.note}` : c.writer == null ? "without a note" : `by ${whoIs(c.writer)}, ${c.open ? "open: it owns the partition" : "closed: it has given the partition up"}`;
  return `committed ${c.offset ?? "nothing: removed"} at ${s(c.at)}\n${writer}\n${map}\nstrikes ${c.strikes}${lie}`;
}

function drawTask(g, lane, y) {
  const t = lane.task;
  let at = 18;
  node(g, "text", { x: at, y: y + 14, class: "strong" }, t.subject);
  at = Math.max(56, at + textWidth(t.subject));
  for (const mark of t.marks) {
    const text = MARKS[mark.kind], wide = text.length * (text === text.toUpperCase() ? 7.8 : 7.2) + 8;
    node(g, "rect", { x: at, y: y + 3, width: wide, height: 14, rx: 3, class: SEVERE.includes(mark.kind) ? "mark-bad" : "mark-warn" }, null, `${text}: ${mark.why}`);
    node(g, "text", { x: at + 4, y: y + 14, class: "on" }, text, `${text}: ${mark.why}`);
    at += wide + 5;
  }
  const path = t.url ? pathOf(t.url) : "not a task", place = t.place ?? "", fits = Math.floor((LABELS - at - textWidth(place) - 6) / 6.2);
  if (fits > 3) node(g, "text", { x: at, y: y + 14 }, path.length > fits ? path.slice(0, fits - 1) + "…" : path, `${t.url ?? "not a task"}\npartition@offset ${place}`);
  node(g, "text", { x: LABELS - 6, y: y + 14, class: "soft", "text-anchor": "end" }, place);
  for (const f of data.faults) if (f.path && t.url && pathOf(t.url).split("?")[0] === f.path) bar(g, f.from, f.to ?? last, y + 1, ROW - 2, { class: "fault", "fill-opacity": 0.16 }, aboutFault(f));
  const names = [];
  for (const [stage, process, from, to, note] of t.bars) {
    const about = `${STAGES[stage][0]}${process == null ? "" : " by " + whoIs(process)}, task ${t.subject}\n${s(from)} to ${s(to)}: ${lasted(to - from)}${note ? "\n" + note : ""}`;
    const failed = note.includes("FAILED") ? " failed" : "";
    if (stage === "waiting") bar(g, from, to, y + 9, 2.5, { class: stage }, about);
    else if (stage === "run" || stage === "cut") {
      const frame = bar(g, from, to, y + 1.5, 17, { class: stage + failed }, about);
      if (frame && +frame.getAttribute("width") > 150) names.push([+frame.getAttribute("x") + 8, whoIs(process), about]);
    } else if (stage === "management") bar(g, from, to, y + 13, 4, { class: stage + failed }, about);
    else bar(g, from, to, y + 5, 10, { class: stage + failed, "fill-opacity": shade(process) }, about);
  }
  for (const [left, name, about] of names) node(g, "text", { x: left, y: y + 14, class: "on small" }, name, about);
  for (const asked of t.requests) if (inView(asked)) node(g, "path", { d: `M${x(asked) - 3} ${y + 19}L${x(asked)} ${y + 14}L${x(asked) + 3} ${y + 19}`, class: "ask" }, null, `the origin was asked for it at ${s(asked)}`);
  for (const [when, process, text] of t.ends) if (when != null && inView(when)) node(g, "circle", { cx: x(when), cy: y + 10, r: 4, class: text === "Ok" ? "ok" : "error" }, null, `${text} by ${whoIs(process)}, in Kafka at ${s(when)}`);
}

/** All about a row, in words. */
function aboutLane(lane) {
  if (lane.kind === "process") return [aboutProcess(lane.process), ...faultsOf(lane.process).map(aboutFault)].join("\n");
  if (lane.kind === "commits") return `Partition ${lane.partition.partition}\n` + lane.partition.commits.map((c) => aboutCommit(c).replaceAll("\n", "; ")).join("\n");
  const t = lane.task, lines = [`Task ${t.subject} at ${t.place ?? "an unknown place"}: ${t.url ?? "not a task"}`];
  for (const mark of t.marks) lines.push(`${MARKS[mark.kind]}: ${mark.why}`);
  if (t.produced != null) lines.push(`produced at ${s(t.produced)}`);
  const happened = t.bars.map((b) => [b[2], `${STAGES[b[0]][0]}${b[1] == null ? "" : " by " + whoIs(b[1])}, ${lasted(b[3] - b[2])}${b[4] ? ", " + b[4] : ""}`]);
  for (const asked of t.requests) happened.push([asked, "the origin was asked"]);
  for (const [when, process, text] of t.ends) happened.push([when ?? 0, `${text} by ${whoIs(process)}`]);
  for (const [when, what] of happened.sort((a, b) => a[0] - b[0])) lines.push(`${s(when)}  ${what}`);
  return lines.join("\n");
}
function choose(lane, scroll) {
  chosen = lane;
  $("about").hidden = !lane;
  $("about").textContent = lane ? aboutLane(lane) : "";
  draw();
  if (lane && scroll) {
    const top = $("body").getBoundingClientRect().top + lane.y, head = $("head").getBoundingClientRect().height;
    if (top < head || top > innerHeight - 60) scrollBy(0, top - innerHeight / 2);
  }
}
function zoomToLane(lane) {
  if (!lane || lane.kind !== "task") return;
  const spots = lane.task.bars.filter((b) => b[0] !== "waiting").flatMap((b) => [b[2], b[3]]).concat(lane.task.requests, lane.task.ends.map((e) => e[0] ?? 0));
  if (!spots.length) return;
  const from = Math.min(...spots), to = Math.max(...spots), edge = (to - from) * 0.1 + 2;
  view = [from - edge, to + edge];
  draw();
}
function zoom(by, at = (view[0] + view[1]) / 2) {
  const span = Math.min(WHOLE[1] - WHOLE[0], Math.max(0.5, (view[1] - view[0]) * by)), part = (at - view[0]) / (view[1] - view[0]);
  move(at - span * part, span);
}
function move(from, span = view[1] - view[0]) {
  const begin = Math.max(WHOLE[0], Math.min(WHOLE[1] - span, from));
  view = [begin, begin + span];
  draw();
}
let due = false;
function draw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    if (width !== $("chart").clientWidth) {
      width = $("chart").clientWidth;
      const kept = view;
      view = [...WHOLE];
      faultRows = faultLanes();
      view = kept;
    }
    items = [];
    drawHead();
    drawBody();
  });
}

// The words around the chart.
document.title = `${data.name}: timeline`;
$("name").textContent = data.name;
$("zero").textContent = `0 s is ${new Date(data.first_ms).toISOString().replace("T", " ").replace("Z", " UTC")}`;
const test = data.failed ? "The test failed" : "The test passed";
const ledger = data.green == null ? ". It does not use the ledger." : data.green ? "the ledger is green." : "the ledger is RED.";
$("headline").textContent = test + (data.green == null ? "" : data.failed === data.green ? "; " : ", and ") + ledger;
$("headline").className = data.green === false || data.failed ? "bad" : "good";
for (const sentence of data.words) $("words").appendChild(document.createElement("li")).textContent = sentence;
$("thinned").textContent = data.thinned.join(" ");
$("ledger").textContent = data.ledger;
function legend(draw, name, sentence) {
  const span = document.createElement("span"), svg = node(span, "svg", { width: 20, height: 14 });
  draw(svg);
  span.appendChild(document.createElement("b")).textContent = name;
  span.append(" " + sentence);
  $("legend").appendChild(span);
}
for (const [stage, [name, sentence]] of Object.entries(STAGES)) {
  if (["trial", "management", "get_original", "cut"].includes(stage) && !data.tasks.some((t) => t.bars.some((b) => b[0] === stage))) continue;
  const frame = stage === "run" || stage === "cut";
  legend((svg) => node(svg, "rect", { x: 1, y: stage === "waiting" ? 6 : frame ? 1 : 2, width: 18, height: stage === "waiting" ? 3 : frame ? 12 : 10, class: stage }), name, sentence);
}
legend((svg) => SHADES.slice(0, 3).forEach((o, i) => node(svg, "rect", { x: 1 + i * 6, y: 2, width: 5, height: 10, class: "fetch", "fill-opacity": o })), "shades", "Each process has its own, in its lane and in its bars.");
legend((svg) => node(svg, "path", { d: "M5 12L9 5L13 12", class: "ask" }), "request", "The origin was asked for the picture.");
legend((svg) => node(svg, "circle", { cx: 9, cy: 7, r: 4, class: "ok" }), "outcome Ok", "In Kafka: the task is finished.");
legend((svg) => node(svg, "circle", { cx: 9, cy: 7, r: 4, class: "error" }), "Error", "or dead letter: finished too.");
legend((svg) => { node(svg, "rect", { x: 1, y: 0, width: 18, height: 14, class: "band" }); node(svg, "line", { x1: 10, x2: 10, y1: 0, y2: 14, class: "edge" }); }, "fault", "What the test did: band while it lasts, line for a moment. One of a single URL shades that task's row alone.");
legend((svg) => { node(svg, "polygon", { points: diamond(6, 7, 4.5), class: "commit" }); node(svg, "polygon", { points: diamond(15, 7, 4.5), class: "commit closed" }); }, "commit", "The group's next offset; +n: n offsets noted as unfinished. Hollow: its writer has given the partition up. Below: whose the partition is, by that.");
legend((svg) => node(svg, "polygon", { points: diamond(9, 7, 6), class: "lie" }), "untrue commit", "It called finished what was not (I3).");

// Hands on it.
let drag = null;
const laneAt = (event) => {
  const y = event.clientY - $("body").getBoundingClientRect().top;
  return event.clientY < $("head").getBoundingClientRect().bottom ? null : shown.find((lane) => y >= lane.y && y < lane.y + lane.height);
};
$("chart").addEventListener("wheel", (event) => {
  if (event.clientX - $("chart").getBoundingClientRect().left < LABELS || event.shiftKey) return;
  event.preventDefault();
  zoom(Math.exp(Math.max(-120, Math.min(120, event.deltaY)) * 0.0025), ms(event.clientX - $("chart").getBoundingClientRect().left));
}, { passive: false });
$("chart").addEventListener("pointerdown", (event) => { drag = { x: event.clientX, y: event.clientY, view: [...view], moved: false }; });
addEventListener("pointermove", (event) => {
  if (drag) {
    const gone = event.clientX - drag.x;
    if (Math.abs(gone) + Math.abs(event.clientY - drag.y) > 4) drag.moved = true;
    if (drag.moved) {
      $("chart").classList.add("dragged");
      move(drag.view[0] - (gone / (width - LABELS - RIGHT)) * (drag.view[1] - drag.view[0]));
      scrollBy(0, -(event.movementY || 0));
    }
  }
  const item = event.target.dataset?.item;
  $("tip").hidden = item == null || Boolean(drag?.moved);
  if (item != null) {
    $("tip").textContent = items[item] ?? "";
    $("tip").style.left = Math.min(event.clientX + 14, innerWidth - $("tip").offsetWidth - 8) + "px";
    $("tip").style.top = (event.clientY + 18 + $("tip").offsetHeight > innerHeight ? event.clientY - $("tip").offsetHeight - 8 : event.clientY + 18) + "px";
  }
});
addEventListener("pointerup", (event) => {
  const clicked = drag && !drag.moved;
  drag = null;
  $("chart").classList.remove("dragged");
  if (clicked) { const lane = laneAt(event); if (lane) choose(lane === chosen ? null : lane); }
});
$("chart").addEventListener("dblclick", (event) => { const lane = laneAt(event); choose(lane ?? null); zoomToLane(lane); });
$("chart").addEventListener("keydown", (event) => {
  const step = (by) => choose(shown[Math.max(0, Math.min(shown.length - 1, shown.indexOf(chosen) + by))], true);
  const part = (view[1] - view[0]) / 8;
  const keys = {
    ArrowDown: () => step(1), ArrowUp: () => step(-1), ArrowLeft: () => move(view[0] - part), ArrowRight: () => move(view[0] + part),
    "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1.6), 0: () => move(WHOLE[0], WHOLE[1] - WHOLE[0]),
    Enter: () => zoomToLane(chosen), Escape: () => choose(null),
  };
  if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  keys[event.key]();
});
$("in").onclick = () => zoom(0.6);
$("out").onclick = () => zoom(1.6);
$("whole").onclick = () => move(WHOLE[0], WHOLE[1] - WHOLE[0]);
$("find").oninput = draw;
addEventListener("resize", draw);
draw();
// `timeline.html#17` shows task 17.
const named = lanes.find((lane) => lane.kind === "task" && lane.task.subject === decodeURIComponent(location.hash.slice(1)));
if (named) { choose(named); zoomToLane(named); }

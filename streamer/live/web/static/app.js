// Draws what /api/summary says, and shows the newest anonymized picture of every camera that is in view.

import { Plot } from "/static/plots.js";

const SUMMARY_MS = 1000;
const PICTURE_MS = 120;
const RETRY_MS = 1500;
const STALE_SECONDS = 4;
const OVERLOAD = [null, "Overloaded: looks for faces less often", "Overloaded: looks less often and at smaller pictures"];
const REASONS = { asked: "as asked" };

const cards = new Map();
const byId = (id) => document.getElementById(id);
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

class Card {
  constructor(camera) {
    this.name = camera.name;
    this.root = byId("camera").content.firstElementChild.cloneNode(true);
    this.root.dataset.camera = camera.name;
    this.image = this.root.querySelector("img");
    this.image.alt = `Anonymized picture of ${camera.name}`;
    this.visible = false;
    this.number = -1;
    this.plots = {
      delay: new Plot(this.root.querySelector("[data-plot=delay]"), (p) => `median ${seconds(p.value)}, 99 % ${seconds(p.high)}`),
      rate: new Plot(this.root.querySelector("[data-plot=rate]"), (p) => decimal(p.value, 1)),
    };
    this.field("name").textContent = camera.name;
    this.field("stream").href = `/api/cameras/${encodeURIComponent(camera.name)}/stream.mjpeg`;
    this.field("stream").hidden = !camera.has_preview;
    this.root.classList.toggle("has-no-preview", !camera.has_preview);
    if (!camera.has_preview) this.root.querySelector(".no-picture").textContent = "no preview among its outputs";
    new IntersectionObserver(([entry]) => { this.visible = entry.isIntersecting; }).observe(this.root);
    if (camera.has_preview) this.showPictures();
  }

  field(name) { return this.root.querySelector(`[data-field=${name}]`); }

  update(camera) {
    this.root.dataset.state = camera.state;
    this.field("state").textContent = camera.state;
    this.field("since").textContent = `${camera.state} for ${duration(camera.state_seconds)}`;
    figure(this.field("rate"), decimal(camera.frames_out_per_second, 1), "/s");
    figure(this.field("delay"), decimal(camera.delay_p50_seconds, 2), "s");
    figure(this.field("people"), whole(camera.tracks_alive));
    figure(this.field("epsilon"), decimal(camera.epsilon_spent, 1));
    this.field("scope").title = `Spent in the ledger's scope ${camera.scope}`;
    const age = camera.seconds_since_frame_out;
    const stale = age === null || age > STALE_SECONDS;
    this.root.classList.toggle("is-stale", stale);
    this.field("stale").hidden = !stale || age === null;
    this.field("stale").textContent = stale && age !== null ? `last picture ${duration(age)} ago` : "";
    this.field("warning").hidden = !camera.overload;
    this.field("warning").textContent = OVERLOAD[Math.min(camera.overload, 2)] ?? "";
    const points = camera.history.map(([age, rate, p50, p99]) => ({ age, rate, p50, p99 }));
    this.plots.delay.draw(points.map((p) => ({ age: p.age, value: p.p50, high: p.p99 })));
    this.plots.rate.draw(points.map((p) => ({ age: p.age, value: p.rate })));
    this.root.querySelector("tbody").replaceChildren(...rows(camera));
  }

  async showPictures() {
    for (;;) {
      let pause = PICTURE_MS;
      if (this.visible && !document.hidden) {
        try {
          await this.showNext();
        } catch {
          pause = RETRY_MS;
        }
      }
      await wait(pause);
    }
  }

  async showNext() {
    const answer = await fetch(`/api/cameras/${encodeURIComponent(this.name)}/picture.jpg?after=${this.number}`);
    if (answer.status === 204) return;
    if (!answer.ok) throw new Error(answer.statusText);
    this.number = Number(answer.headers.get("X-Picture"));
    const before = this.image.src;
    this.image.src = URL.createObjectURL(await answer.blob());
    await this.image.decode();
    this.image.hidden = false;
    this.root.querySelector(".no-picture").hidden = true;
    if (before) URL.revokeObjectURL(before);
  }
}

function rows(camera) {
  const queues = Object.entries(camera.queues).map(([name, [items, room]]) => `${name} ${items}/${room}`);
  const stages = Object.entries(camera.stages_ms).map(([name, ms]) => `${name} ${decimal(ms, 1)}`);
  const lines = [
    ["Frames in", whole(camera.frames_in)],
    ["Frames out", whole(camera.frames_out)],
    ["Placeholders out", whole(camera.placeholders_out)],
    ["Frames dropped", counts(camera.frames_dropped)],
    ["Faces covered", whole(camera.faces)],
    ["of them by the fallback", counts(camera.fallbacks)],
    ["Frames masked whole", counts(camera.fail_closed)],
    ["Reconnects", whole(camera.reconnects)],
    ["Delay, 99 % of the last minute", seconds(camera.delay_p99_seconds)],
    ["Queues", queues.join(", ") || "–"],
    ["Milliseconds per run", stages.join(", ") || "–"],
  ];
  return lines.map(([name, value]) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    const cell = document.createElement("td");
    cell.textContent = value;
    row.append(head, cell);
    return row;
  });
}

function counts(byReason) {
  const sum = Object.values(byReason).reduce((total, count) => total + count, 0);
  const parts = Object.entries(byReason).map(([reason, n]) => `${REASONS[reason] ?? reason.replaceAll("_", " ")} ${whole(n)}`);
  return sum ? `${whole(sum)} (${parts.join(", ")})` : "0";
}

function figure(target, value, unit) {
  target.replaceChildren(value);
  if (!unit || value === "–") return;
  const small = document.createElement("small");
  small.textContent = ` ${unit}`;
  target.append(small);
}

function decimal(value, digits) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
function whole(value) { return value.toLocaleString("en"); }
function seconds(value) { return value === null ? "–" : `${decimal(value, 2)} s`; }

function duration(total) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const at = units.findIndex(([, size]) => total >= size);
  if (at < 0) return "0 s";
  const [name, size] = units[at];
  const rest = units[at + 1];
  const count = Math.floor(total / size);
  const left = rest ? Math.floor((total - count * size) / rest[1]) : 0;
  return left ? `${count} ${name} ${left} ${rest[0]}` : `${count} ${name}`;
}

function notice(text) {
  byId("notice").hidden = !text;
  byId("notice").textContent = text ?? "";
}

function show(summary) {
  const running = summary.cameras.filter((camera) => camera.state === "running").length;
  byId("total-running").textContent = `${running} of ${summary.cameras.length}`;
  figure(byId("total-rate"), decimal(sum(summary.cameras, "frames_out_per_second"), 0), "/s");
  byId("total-people").textContent = whole(sum(summary.cameras, "tracks_alive"));
  byId("total-epsilon").textContent = decimal(summary.epsilon_spent, 1);
  byId("logout").hidden = !summary.has_login;
  notice(summary.healthy ? null : "A camera's thread has died; the gateway should be restarted.");
  for (const camera of summary.cameras) {
    if (!cards.has(camera.name)) {
      cards.set(camera.name, new Card(camera));
      byId("cameras").append(cards.get(camera.name).root);
    }
    cards.get(camera.name).update(camera);
  }
}

function sum(cameras, key) { return cameras.reduce((total, camera) => total + (camera[key] ?? 0), 0); }

for (;;) {
  try {
    const answer = await fetch("/api/summary");
    if (answer.status === 401) location.assign("/login");
    if (!answer.ok) throw new Error(answer.statusText);
    show(await answer.json());
  } catch {
    notice("The gateway does not answer; the numbers below are old.");
  }
  await wait(SUMMARY_MS);
}

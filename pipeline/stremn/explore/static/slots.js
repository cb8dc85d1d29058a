// The memory as this frame found it: kept frames with masks and heat, ages, read mass, scores, who goes next.

class Slots {
  constructor(app, { actions }) {
    this.app = app;
    this.actions = actions;
    this.title = el("h3", {});
    this.grid = el("div", { class: "slot-grid" });
    this.note = el("p", { class: "note" });
    this.root = el("section", { class: "slots", "aria-label": "slots" }, this.title, this.grid, this.note);
    this.cards = [];
  }

  /** One card for each slot, used again from frame to frame. */
  card(n) {
    if (!this.cards[n]) {
      const buttons = el("div", { class: "slot-buttons", hidden: !this.actions });
      const card = { ...slotCard(buttons), buttons };
      this.cards[n] = card;
      const button = (text, title, what) => el("button", { type: "button", title,
        onclick: () => this.app.change({ [what]: card.slot }) }, text);
      buttons.append(
        button("drop", "what if this slot were emptied now?", "drop"),
        button("freeze", "what if this template were never evicted from here on?", "freeze"),
        el("button", { type: "button", title: "what if it held another frame? (number below, under What if)",
          onclick: () => this.app.change({ swap: [card.slot, this.app.whatif.swapFrame()] }) }, "swap"));
    }
    return this.cards[n];
  }

  /** Places of the slots that are still free, so that nothing moves when they are taken. */
  free(run, step) {
    const { room } = this.app.runs[run] || {};
    if (!step || !room || step.of >= room || room > 24) return [];
    const { width, height } = this.app.about;
    return Array.from({ length: room - step.of }, (_, n) => el("figure", { class: "slot-free" },
      el("div", { style: `aspect-ratio:${width}/${height}` }), `slot ${step.of + n + 1}: free`));
  }

  async set(run, part, title) {
    const step = part?.step;
    this.title.textContent = title;
    const slots = step ? step.slots : [];
    this.grid.replaceChildren(...slots.map((_, n) => this.card(n).root), ...this.free(run, step));
    this.grid.classList.toggle("six", slots.length <= 6);
    this.note.textContent = !step ? "This frame is not computed yet."
      : !slots.length ? "The memory is empty: the first mask is given."
        : step.of > slots.length ? `The ${slots.length} of ${step.of} kept frames that are read most.` : "";
    if (!step) return;
    const wanted = [...new Set(slots.map((s) => s.frame))];
    const missing = wanted.filter((frame) => !this.app.thumbs.get(`${run}:${frame}`));
    if (missing.length) await this.app.loadThumbs(run, missing);
    const top = part.heat ? part.heat.maps.reduce((most, v) => Math.max(most, v), 0) : 0;
    const next = slots.find((slot) => slot.next);
    slots.forEach((slot, n) => this.fill(this.card(n), run, slot, part.heat, top));
    slots.forEach((slot, n) => rankScore(this.card(n), slot, next, slots));
    this.grid.dataset.top = top;
    this.grid.dataset.heat = part.heat ? part.heat.share.map((v) => v.toFixed(6)).join(" ") : "";
  }

  fill(card, run, slot, heat, top) {
    const { app } = this;
    card.slot = slot.slot;
    card.buttons.hidden = !this.actions || !app.runs[run].inside;
    const at = heat ? heat.slots.indexOf(slot.frame) : -1;
    const share = at >= 0 ? heat.share[at] : slot.mass;
    fillCard(card, slot, share, `${percent(share)} of the ${at < 0 ? "" : heat.positions > 1 ? "object's " : "pixel's "}read`);
    card.canvas.setAttribute("aria-label", `frame ${slot.frame} in slot ${slot.slot + 1}, ${percent(share)} of the read`);
    this.paint(card.canvas, app.thumbs.get(`${run}:${slot.frame}`), at >= 0 ? heat : null, at, top);
  }

  paint(canvas, picture, heat, at, top) {
    const { width, height } = this.app.about;
    const wide = picture ? picture.width : 176;
    const zoom = Math.max(1, Math.round(352 / wide));
    canvas.width = wide * zoom;
    canvas.height = Math.round((canvas.width * height) / width);
    const context = canvas.getContext("2d");
    context.fillStyle = "#ddd";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (picture) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    if (!heat || !this.app.shows.heat) return;
    const [, h, w] = heat.size;
    const cells = heat.maps.subarray(at * h * w, (at + 1) * h * w);
    const [left, up, across, down] = heat.window;
    const most = this.app.shows.own ? cells.reduce((a, b) => Math.max(a, b), 0) : top;
    const layer = heatLayer(cells, w, h, most, this.app.map);
    context.fillStyle = "rgba(0,0,0,0.45)";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = true;
    context.drawImage(layer, left * w, up * h, across * w, down * h, 0, 0, canvas.width, canvas.height);
  }
}

/** What this frame does to the memory it found. */
function slotTitle(part) {
  const step = part?.step;
  const action = !step ? "" : step.action === "evict" && step.evicted != null ? `; frame ${step.evicted} goes next`
    : step.action === "skip" ? "; this frame is not stored" : step.action === "append" ? "; this frame takes a free slot" : "";
  return `Memory as this frame found it${action}`;
}

/** An empty card of a slot: picture, name, share of the read, facts. */
function slotCard(...more) {
  const [canvas, name, bar, mass] = [el("canvas", { class: "slot-canvas", role: "img" }), el("strong", {}), el("i", {}), el("span", {})];
  const badge = el("span", { class: "badge", hidden: true }, "goes next");
  const facts = el("div", { class: "facts" });
  const root = el("figure", { class: "slot" }, canvas,
    el("figcaption", {}, el("div", { class: "slot-name" }, name, badge),
      el("div", { class: "mass", title: "share of the attention that this slot received when the memory was read" },
        el("span", { class: "bar" }, bar), mass), facts, ...more));
  return { root, canvas, name, badge, bar, mass, facts };
}

/** What is known of a slot, on its card. */
function fillCard(card, slot, share, words) {
  card.name.textContent = `slot ${slot.slot + 1}: frame ${slot.frame}`;
  card.badge.hidden = !slot.next;
  card.root.classList.toggle("next", slot.next);
  card.root.classList.toggle("locked", !slot.evictable && !slot.next);
  card.bar.style.width = `${Math.round(100 * (share || 0))}%`;
  card.mass.textContent = words;
  card.facts.replaceChildren(...[
    el("span", { title: "frames since this template was written" }, `${slot.age} old`),
    slot.score == null ? null : el("span", { class: "score", title: "similarity of the incoming frame to this template (Eq. 1)" },
      `score ${fixed(slot.score, 3)}`),
    slot.evictable ? null : el("span", { title: "may not be evicted" }, "protected")].filter(Boolean));
}

/** What three digits hide: the score that decides is the highest (or the lowest), the others so far from it. */
function rankScore(card, slot, next, slots) {
  const score = card.facts.querySelector(".score");
  if (!score || next?.score == null) return;
  const others = slots.filter((s) => s.evictable && s.score != null).map((s) => s.score);
  const gap = slot.score - next.score;
  if (slot.next) score.append(next.score >= Math.max(...others) ? " (highest)" : next.score <= Math.min(...others) ? " (lowest)" : "");
  else score.append(gap === 0 ? " (equal)" : ` (${gap > 0 ? "+" : "−"}${Number(Math.abs(gap).toPrecision(2))})`);
  score.title = slot.next ? "of those that may be evicted" : "difference to the score of the template that goes next";
}

const HEAT_POWER = 0.4; // of the attention, so that little of it is seen too

/** A heat map as a small picture: colour and opacity grow with the attention, `top` is the brightest. */
function heatLayer(cells, width, height, top, map) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < cells.length; i++) {
    const value = top > 0 ? (cells[i] / top) ** HEAT_POWER : 0;
    const c = 3 * Math.round(255 * value);
    image.data.set([map[c], map[c + 1], map[c + 2], Math.round(175 * Math.min(1, 1.6 * value))], 4 * i);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

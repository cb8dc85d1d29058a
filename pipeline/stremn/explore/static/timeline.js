// The whole video at a glance: J, evictions, and the life of every slot. Click or drag to scrub.

const TOP = 16, CHART = 74, TICKS = 16, LEFT = 62, AXIS = 20;

class Timeline {
  constructor(app) {
    this.app = app;
    this.canvas = el("canvas", { class: "timeline-canvas", tabindex: 0, role: "slider",
      "aria-label": "frame of the video; arrow keys step, space plays", "aria-valuemin": 0 });
    this.tip = el("div", { class: "tip", hidden: true });
    this.legend = el("div", { class: "legend" });
    this.zoomOut = el("button", { type: "button", title: "show the whole video", hidden: true,
      onclick: () => this.zoom(0, this.app.about.frames) }, "whole video");
    this.root = el("section", { class: "timeline", "aria-label": "timeline" },
      el("div", { class: "timeline-head" }, this.title = el("h3", {}, "Timeline"), this.legend, this.zoomOut),
      this.canvas, this.tip);
    this.window = null;
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); this.scrub(event); });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons) this.scrub(event); this.hover(event); });
    canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  scale() {
    const [from, to] = this.window || [0, this.app.about.frames];
    return new Scale(from, to, LEFT, this.canvas.clientWidth - 10);
  }

  zoom(from, to) {
    const { frames } = this.app.about;
    const width = Math.min(frames, Math.max(10, to - from));
    const start = Math.min(frames - width, Math.max(0, from));
    this.window = width >= frames ? null : [start, start + width];
    this.zoomOut.hidden = !this.window;
    this.draw();
  }

  /** Ctrl and wheel: zoom about the pointer; shift and wheel: move. */
  wheel(event) {
    if (!event.ctrlKey && !event.metaKey && !event.shiftKey) return;
    event.preventDefault();
    const scale = this.scale();
    const turn = event.deltaY || event.deltaX;
    if (event.shiftKey) {
      const move = Math.sign(turn) * 0.1 * (scale.to - scale.from);
      this.zoom(scale.from + move, scale.to + move);
      return;
    }
    const factor = turn > 0 ? 1.25 : 0.8;
    const about = scale.frame(event.offsetX);
    this.zoom(about - (about - scale.from) * factor, about + (scale.to - about) * factor);
  }

  at(event) {
    return Math.max(0, Math.min(this.app.about.frames - 1, Math.floor(this.scale().frame(event.offsetX))));
  }

  scrub(event) {
    this.app.show(this.at(event));
  }

  hover(event) {
    const t = this.at(event);
    const main = this.app.details.get(this.app.run);
    const lines = [`frame ${t}`];
    if (main && t < main.done) {
      const j = main.j[0][t];
      if (Number.isFinite(j)) lines.push(`J ${j.toFixed(2)}`);
      const gone = main.evicted.get(t);
      if (gone !== undefined) lines.push(gone < 0 ? "features evicted" : `evicts frame ${gone} (${t - gone} old)`);
      const slot = Math.floor((event.offsetY - this.slotsTop()) / this.row(main));
      const life = slot >= 0 && slot < main.slots && main.bySlot[slot]?.find((l) => l.frame < t && (l.end < 0 || t <= l.end));
      if (this.app.runs[this.app.run].given.includes(t)) lines.push("mask given");
      if (life) lines.push(`slot ${slot + 1}: frame ${life.frame}, read ${percent(main.mass[t * main.slots + slot] / 255)}`);
    }
    this.tip.textContent = lines.join(" · ");
    this.tip.hidden = false;
    this.tip.style.left = `${Math.min(event.offsetX + 12, this.canvas.clientWidth - this.tip.offsetWidth)}px`;
    this.tip.style.top = `${event.offsetY + 34}px`;
  }

  slotsTop() {
    return TOP + (this.app.hasJ() ? CHART : 0) + TICKS + 4;
  }

  row(main) {
    return main.slots > 16 ? Math.max(2, 240 / main.slots) : 15;
  }

  draw() {
    const { app, canvas } = this;
    const width = canvas.clientWidth;
    if (!width) return;
    const main = app.details.get(app.run);
    const beside = app.beside === null ? null : app.details.get(app.beside);
    const slots = main ? Math.max(1, main.slots) : 1;
    const row = main ? this.row(main) : 15;
    const top = this.slotsTop();
    const height = top + Math.min(slots * row, 260) + AXIS;
    const context = sized(canvas, width, height);
    const scale = this.scale();
    const { colours } = app.about;
    if (app.hasJ()) {
      axisOfJ(context, scale, TOP, TOP + CHART - 8, colours.ink);
      label(context, "J", 4, TOP - 9, colours.ink);
      if (main) this.curves(context, scale, main, beside, colours);
    }
    if (main) {
      this.evictions(context, scale, main, top - TICKS, colours);
      this.given(context, scale, top - TICKS, colours);
      this.lives(context, scale, main, top, row, colours);
    }
    axisOfFrames(context, scale, height - AXIS, colours.ink);
    cursor(context, scale, app.frame, TOP, height - AXIS, colours.ink);
    canvas.setAttribute("aria-valuemax", app.about.frames - 1);
    canvas.setAttribute("aria-valuenow", app.frame);
    canvas.setAttribute("aria-valuetext", `frame ${app.frame}`);
    this.describe(colours, beside);
  }

  curves(context, scale, main, beside, colours) {
    const bottom = TOP + CHART - 8;
    if (main.j.length > 2) {
      main.j.slice(1).forEach((values, n) => curve(context, scale, values, TOP, bottom,
        { colour: this.app.about.objects[(main.objects[n] - 1) % 5], width: 1 }));
    }
    if (beside) curve(context, scale, beside.j[0], TOP, bottom, { colour: colours.vermilion, width: 2, dash: [6, 3] });
    curve(context, scale, main.j[0], TOP, bottom, { colour: colours.blue, width: 2.2 });
  }

  evictions(context, scale, main, top, colours) {
    label(context, "evictions", 4, top, colours.ink);
    context.fillStyle = colours.vermilion;
    const narrow = (scale.right - scale.left) / (scale.to - scale.from) < 5;
    for (const t of main.evicted.keys()) {
      if (t < scale.from - 1 || t > scale.to) continue;
      const x = scale.x(t + 0.5);
      if (narrow) {
        context.fillRect(x - 0.5, top, 1, 9);
        continue;
      }
      context.beginPath();
      context.moveTo(x - 3.5, top + 1);
      context.lineTo(x + 3.5, top + 1);
      context.lineTo(x, top + 9);
      context.fill();
    }
  }

  /** Frames whose masks are given: the first, those of later objects, corrections. */
  given(context, scale, bottom, colours) {
    context.fillStyle = colours.green;
    for (const t of this.app.runs[this.app.run].given) {
      if (t < scale.from - 1 || t > scale.to) continue;
      const x = scale.x(t + 0.5);
      context.fillRect(x - 0.75, TOP, 1.5, bottom - TOP + 9);
      context.beginPath();
      for (const [dx, dy] of [[0, -1], [5, 4], [0, 9], [-5, 4]]) context.lineTo(x + dx, bottom + dy);
      context.fill();
    }
  }

  lives(context, scale, main, top, row, colours) {
    const perFrame = (scale.right - scale.left) / (scale.to - scale.from);
    const height = Math.max(1, row > 4 ? row - 3 : row);
    for (let slot = 0; slot < main.slots; slot++) {
      const y = top + slot * row;
      if (row >= 12) label(context, `slot ${slot + 1}`, 4, y, colours.ink);
      for (const life of main.bySlot[slot] || []) {
        const end = life.end < 0 ? main.done : life.end + 1;
        if (end < scale.from || life.frame > scale.to) continue;
        const x = scale.x(life.frame + 0.5);
        const right = Math.min(scale.right, scale.x(end - 0.5 + (life.end < 0 ? 0.5 : 0)));
        if (right <= scale.left) continue;
        this.bar(context, scale, main, slot, life, Math.max(scale.left, x), right, y, height);
        if (perFrame < 1.2 && right - x < 3) continue;
        context.fillStyle = colours.ink;
        context.fillRect(Math.max(scale.left, x), y, 1.5, height);
        if (life.end >= 0) {
          context.fillStyle = colours.vermilion;
          context.fillRect(right - 1.5, y, 1.5, height);
        }
        if (right - x > 26 && row >= 12) this.number(context, life, Math.max(scale.left, x), y, height);
      }
    }
  }

  number(context, life, x, y, height) {
    context.font = "10px sans-serif";
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.lineWidth = 2.5;
    context.strokeStyle = "#ffffffdd";
    context.fillStyle = "#111";
    context.strokeText(String(life.frame), x + 4, y + height / 2 + 0.5);
    context.fillText(String(life.frame), x + 4, y + height / 2 + 0.5);
  }

  /** A life, each frame as dark as its slot was read then. */
  bar(context, scale, main, slot, life, left, right, y, height) {
    const step = Math.max(1, (scale.right - scale.left) / (scale.to - scale.from));
    for (let x = left; x < right; x += step) {
      const t = Math.min(main.done - 1, Math.max(life.frame, Math.floor(scale.frame(x + 0.01) + 0.5)));
      const mass = t === life.frame ? main.mass[(t + 1) * main.slots + slot] : main.mass[t * main.slots + slot];
      context.fillStyle = shade((mass || 0) / 255);
      context.fillRect(x, y, Math.min(step + 0.3, right - x), height);
    }
  }

  describe(colours, beside) {
    const name = this.app.runs.length > 1 ? ` of “${this.app.runs[this.app.run].name}”` : "";
    this.title.textContent = `Timeline${name}`;
    const many = this.app.details.get(this.app.run)?.j.length > 2;
    const stripes = this.app.about.objects.slice(0, 3).map((c, n) => `${c} ${33 * n}% ${33 * n + 33}%`).join(",");
    this.legend.replaceChildren(...[
      this.app.hasJ() ? legendKey(`background:${colours.blue};height:3px`, "mean J") : null,
      this.app.hasJ() && many ? legendKey(`background:linear-gradient(90deg,${stripes});height:2px`, "J of each object") : null,
      beside ? legendKey(`border-top:3px dashed ${colours.vermilion};height:0`, "mean J of the run beside") : null,
      this.app.runs[this.app.run]?.given.length
        ? legendKey(`background:${colours.green};width:11px;clip-path:polygon(50% 0,100% 50%,50% 100%,0 50%)`, "given mask") : null,
      legendKey(`background:${colours.vermilion};clip-path:polygon(0 0,100% 0,50% 100%)`, "eviction"),
      legendKey(`background:linear-gradient(90deg,${shade(0)},${shade(0.35)},${shade(1)})`,
        "a bar is a frame's life in its slot; the darker, the more it is read (0 to 100 %)")].filter(Boolean));
  }
}

/** Share of the read as a blue, light to dark. */
function shade(share) {
  const s = Math.sqrt(share);
  const mix = (a, b) => Math.round(a + s * (b - a));
  return `rgb(${mix(226, 0)},${mix(236, 62)},${mix(245, 128)})`;
}
